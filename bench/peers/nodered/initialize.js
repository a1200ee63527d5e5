// Runs before the function node gets messages.
const connection = await global.get("amqplib").connect(env.get("BENCH_AMQP"));
context.set("channel", await connection.createConfirmChannel());
