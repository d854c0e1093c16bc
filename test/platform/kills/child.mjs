// A platform in a process of its own, to be killed. Usage: node child.mjs FOLDER HTTP_PORT MQTT_PORT; prints {urls, ca, token?}.
import { register } from 'tsx/esm/api';

register();
const { startPlatform } = await import('../../../src/lib/platform/index.ts');

const [dataDir, httpPort, mqttPort] = process.argv.slice(2);
const { urls, ca, token } = await startPlatform({
  dataDir,
  httpPort: Number(httpPort),
  mqttPort: Number(mqttPort),
  log: (line) => process.stderr.write(line),
});
process.stdout.write(`${JSON.stringify({ urls, ca, token })}\n`);
