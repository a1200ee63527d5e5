// Node-RED without its editor, with amqplib for the function node.
module.exports = {
  uiHost: "127.0.0.1",
  uiPort: Number(process.env.BENCH_PORT),
  flowFile: process.env.BENCH_FLOW,
  credentialSecret: false,
  disableEditor: true,
  httpAdminRoot: false,
  functionGlobalContext: { amqplib: require(process.env.BENCH_MODULES + "/amqplib") },
  logging: { console: { level: "warn", metrics: false, audit: false } },
};
