// The body of the function node: parse, drop, enrich, publish on a confirm channel.
const reading = msg.payload;
if (reading.quality !== "good") {
  return null;
}
const out = { plant: "brno", tag: reading.tag, value: reading.value, uom: "CEL", at: reading.at };
context.get("channel").publish("", env.get("BENCH_QUEUE"), Buffer.from(JSON.stringify(out)), {
  persistent: true,
  contentType: "application/json",
});
return null;
