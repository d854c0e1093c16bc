// Sends requests on six connections of TLS, the next one right after each response, with head and body in separate records. Prints how often
// each status was the answer. Input: PORT, TOKEN and CA (PEM) in the environment.
import { connect } from 'node:tls';

const { PORT, TOKEN, CA } = process.env;
const [connections, rounds] = [6, 40];
const counts = {};

function requestOf(number) {
  const names = Array.from({ length: 1 + ((number * 173) % 1000) }, (_, i) => `missing-${i}`);
  const body = JSON.stringify({ names, change: { action: 'suspend' }, dryRun: true });
  const head = [
    'POST /api/v1/devices/actions HTTP/1.1',
    'host: x',
    `authorization: Bearer ${TOKEN}`,
    'content-type: application/json',
    `content-length: ${body.length}`,
  ];
  return [`${head.join('\r\n')}\r\n\r\n`, body];
}

/** Ends after the last round, and after an answer other than 200. */
function talk(worker) {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: Number(PORT), ca: CA });
    socket.setNoDelay(true);
    let [round, parts, read, needed] = [0, [], 0, 0];
    const ask = () => {
      for (const part of requestOf(worker * 331 + round)) socket.write(part);
    };
    socket.on('secureConnect', ask);
    socket.on('data', (chunk) => {
      parts.push(chunk);
      read += chunk.length;
      if (needed === 0) {
        const text = Buffer.concat(parts).toString('latin1');
        const end = text.indexOf('\r\n\r\n');
        if (end < 0) return;
        needed = end + 4 + Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0);
      }
      if (read < needed) return;
      const status = Buffer.concat(parts).toString('latin1', 9, 12);
      counts[status] = (counts[status] ?? 0) + 1;
      [parts, read, needed] = [[], 0, 0];
      if (status === '200' && ++round < rounds) return ask();
      socket.destroy();
      resolve();
    });
    socket.on('error', reject);
  });
}

await Promise.all(Array.from({ length: connections }, (_, worker) => talk(worker)));
process.stdout.write(`${JSON.stringify(counts)}\n`);
