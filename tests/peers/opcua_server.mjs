// An OPC UA server that is not ours: node-opcua, on loopback, opc.tcp://127.0.0.1:PORT/UA/peer.
//
// usage: node opcua_server.mjs --port P --pki DIR [options]
//   --interval MS        how often values change; 0 = never (default 100)
//   --items N            N more Double variables, item-0001 … (default 0)
//   --max-items N        OperationLimits.MaxMonitoredItemsPerCall (default: no limit)
//   --swap-namespaces    registers its two namespaces the other way round, so that their indexes change
//   --username U --password P   no anonymous sessions
//   --strict             client certificates must be in the PKI's trusted folder
//
// stdout carries one JSON object a line, nothing else: {"ready": true, "port": P} once it listens, then one
// acknowledgement for each line on stdin:
//   set NAME VALUE       gives a variable a value, which then stays until `release`
//   status NAME CODE     keeps the value and gives it a status code by name, until `release`
//   release NAME         lets it change by itself again
//   drop                 cuts all connections, without a goodbye
// It ends on SIGTERM, and when its stdin ends, so that it never outlives the test that started it.
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

console.log = console.error; // the library prints warnings there; stdout is ours

const { OPCUAServer } = await import("node-opcua-server");
const { OPCUACertificateManager } = await import("node-opcua-certificate-manager");
const { standardUnits } = await import("node-opcua-data-access");
const { StatusCodes } = await import("node-opcua-status-code");
const { DataType, Variant } = await import("node-opcua-variant");

const { values: flags } = parseArgs({
  options: {
    port: { type: "string" },
    pki: { type: "string" },
    interval: { type: "string", default: "100" },
    items: { type: "string", default: "0" },
    "max-items": { type: "string" },
    "swap-namespaces": { type: "boolean", default: false },
    username: { type: "string" },
    password: { type: "string" },
    strict: { type: "boolean", default: false },
  },
});
if (!flags.port || !flags.pki) {
  process.stderr.write("--port and --pki are needed\n");
  process.exit(2);
}

const MACHINE = "urn:peer:machine";
const LINE = "urn:peer:line";

/** Everything that can be read: its namespace, type, first value, and the value at a tick (absent = constant). */
function variables() {
  const fixed = [
    { name: "temperature", uri: MACHINE, type: DataType.Double, first: 20.0, at: (n) => 20 + 5 * Math.sin(n / 10), unit: standardUnits.degree_celsius },
    { name: "counter", uri: MACHINE, type: DataType.UInt32, first: 0, at: (n) => n },
    { name: "running", uri: MACHINE, type: DataType.Boolean, first: true },
    { name: "flaky", uri: MACHINE, type: DataType.Double, first: 1.5, at: (n) => n / 2, bad: (n) => n % 3 === 0 },
    { name: "state", uri: LINE, type: DataType.Int32, first: 1, at: (n) => 1 + (Math.floor(n / 10) % 3) },
    { name: "serial", uri: LINE, type: DataType.String, first: "000123" },
  ];
  const extra = Array.from({ length: Number(flags.items) }, (_, i) => ({
    name: `item-${String(i + 1).padStart(4, "0")}`,
    uri: LINE,
    type: DataType.Double,
    first: i,
    at: (n) => i + n,
  }));
  return [...fixed, ...extra];
}

/** Adds folders and variables; node ids are ns=<index of its namespace>;s=<name>. */
function populate(addressSpace) {
  const uris = flags["swap-namespaces"] ? [LINE, MACHINE] : [MACHINE, LINE];
  const namespaces = new Map(uris.map((uri) => [uri, addressSpace.registerNamespace(uri)]));
  const folders = new Map(
    [[MACHINE, "press"], [LINE, "line"]].map(([uri, name]) => [
      uri,
      namespaces.get(uri).addFolder(addressSpace.rootFolder.objects, { browseName: name, nodeId: `s=${name}` }),
    ]),
  );
  const points = new Map();
  for (const { name, uri, type, first, unit, at, bad } of variables()) {
    const options = {
      organizedBy: folders.get(uri),
      browseName: name,
      nodeId: `s=${name}`,
      dataType: type,
      minimumSamplingInterval: 0,
      value: new Variant({ dataType: type, value: first }),
    };
    const node = unit
      ? namespaces.get(uri).addAnalogDataItem({ ...options, engineeringUnits: unit, engineeringUnitsRange: { low: -50, high: 250 } })
      : namespaces.get(uri).addVariable(options);
    points.set(name, { node, type, at, bad, pinned: false });
  }
  return points;
}

function publish({ node, type }, value, status = StatusCodes.Good) {
  node.setValueFromSource(new Variant({ dataType: type, value }), status);
}

function parse(type, text) {
  switch (type) {
    case DataType.Boolean:
      return text === "true";
    case DataType.String:
      return text;
    default:
      return Number(text);
  }
}

/** Carries out one line from stdin; returns the acknowledgement. */
function obey(line, server, points) {
  const [, command, name, rest] = /^(\S+)(?: (\S+)(?: (.*))?)?$/.exec(line) ?? [];
  if (command === "drop") {
    server.endpoints.forEach((endpoint) => endpoint.abruptlyInterruptChannels());
    return { drop: true };
  }
  const point = points.get(name);
  if (!point) return { error: `no variable ${name}` };
  switch (command) {
    case "set":
      point.pinned = true;
      publish(point, parse(point.type, rest));
      return { set: name, value: parse(point.type, rest) };
    case "status":
      if (!StatusCodes[rest]) return { error: `no status code ${rest}` };
      point.pinned = true;
      publish(point, point.node.readValue().value.value, StatusCodes[rest]);
      return { status: name, code: rest };
    case "release":
      point.pinned = false;
      return { release: name };
    default:
      return { error: `no command ${command}` };
  }
}

function say(object) {
  process.stdout.write(`${JSON.stringify(object)}\n`);
}

const pki = new OPCUACertificateManager({
  rootFolder: flags.pki,
  automaticallyAcceptUnknownCertificate: !flags.strict,
});
const server = new OPCUAServer({
  host: "127.0.0.1",
  hostname: "127.0.0.1",
  port: Number(flags.port),
  resourcePath: "/UA/peer",
  allowAnonymous: flags.username === undefined,
  userManager: {
    isValidUser: (user, password) => user === flags.username && password === flags.password,
  },
  serverCertificateManager: pki,
  userCertificateManager: pki,
  serverInfo: { applicationUri: "urn:peer:server", productUri: "urn:peer", applicationName: { text: "peer" } },
  serverCapabilities: {
    maxSessions: 100,
    ...(flags["max-items"] && { operationLimits: { maxMonitoredItemsPerCall: Number(flags["max-items"]) } }),
  },
  maxConnectionsPerEndpoint: 100,
});
await server.initialize();
const points = populate(server.engine.addressSpace);
await server.start();

let tick = 0;
function change() {
  tick += 1;
  for (const point of points.values()) {
    if (!point.at || point.pinned) continue;
    publish(point, point.at(tick), point.bad?.(tick) ? StatusCodes.BadSensorFailure : StatusCodes.Good);
  }
}
const timer = Number(flags.interval) > 0 ? setInterval(change, Number(flags.interval)) : undefined;

let ending = false;
async function end() {
  if (ending) return;
  ending = true;
  clearInterval(timer);
  await server.shutdown(0);
  process.exit(0);
}
process.on("SIGTERM", end);
process.on("SIGINT", end);
createInterface({ input: process.stdin })
  .on("line", (line) => say(obey(line, server, points)))
  .on("close", end);

say({ ready: true, port: Number(flags.port) });
