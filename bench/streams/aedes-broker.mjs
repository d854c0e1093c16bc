// Runs aedes, the broker from the MQTT.js project, on a loopback port that it prints.
import { createServer } from 'node:net';
import { Aedes } from 'aedes';

const aedes = await Aedes.createBroker({ concurrency: 1000, queueLimit: 10_000_000 });
aedes.on('subscribe', () => console.error('subscribed'));
const server = createServer((socket) => {
  socket.on('error', () => {});
  aedes.handle(socket);
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
