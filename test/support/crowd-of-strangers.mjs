import { connect as connectTcp } from 'node:net';
import { connect as connectTls } from 'node:tls';

/**
 * Opens hostile connections to a port, as a separate process: `node crowd-of-strangers.mjs PORT KIND COUNT FIRST
 * HOSTS`. KIND: silent (sends nothing), hello (sends a TLS hello byte by byte), or head (uses TLS, and sends a
 * request's header byte by byte). The clients connect from HOSTS loopback addresses starting at FIRST, and reconnect
 * when they are closed. Prints the number of connections every second, and ends when its input ends.
 */
const [port, kind, count, first, hosts] = process.argv
  .slice(2)
  .map((word) => (/^\d+$/.test(word) ? Number(word) : word));
let made = 0;
const hello = Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, ...Array(500).fill(7)]);
const head = Buffer.from(`GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ${'y'.repeat(4000)}`);

function come(i) {
  const number = first + (i % hosts);
  const localAddress = `127.${1 + Math.floor(number / 62_500)}.${Math.floor(number / 250) % 250}.${1 + (number % 250)}`;
  const again = () => setTimeout(() => come(i), 500 + Math.random() * 1000);
  const socket = connectTcp({ port, host: '127.0.0.1', localAddress });
  socket.on('error', () => {});
  socket.once('connect', () => made++);
  let timer;
  socket.once('close', () => {
    clearInterval(timer);
    again();
  });
  const trickle = (to, bytes) => {
    let at = 0;
    timer = setInterval(() => {
      if (!to.destroyed && at < bytes.length) to.write(bytes.subarray(at, ++at));
    }, 1000);
  };
  if (kind === 'hello') socket.once('connect', () => trickle(socket, hello));
  if (kind === 'head') {
    const tls = connectTls({ socket, rejectUnauthorized: false });
    tls.on('error', () => {});
    tls.once('secureConnect', () => trickle(tls, head));
  }
  socket.resume();
}

let started = 0;
const starting = setInterval(() => {
  for (let i = 0; i < 200 && started < count; i++) come(started++);
  if (started >= count) clearInterval(starting);
}, 50);
setInterval(() => process.stdout.write(`${made}\n`), 1000);
process.stdin.on('end', () => process.exit(0)).resume();
