import { createServer } from 'node:net';
import { systemCode } from '../../core/index.js';
import { type Finding, ok, warn } from '../finding.js';
import { ownerOf } from './port-owner.js';

/** Whether `aiot up` could listen there, and who does when it could not. */
export async function checkPort(check: string, port: number, flag: string): Promise<Finding> {
  const refused = await listen(port);
  if (refused === undefined) return ok(check, `${port} is free`);
  if (refused !== 'EADDRINUSE')
    return warn(check, `${port} cannot be used (${refused})`, `aiot up ${flag} 0`);
  const owner = await ownerOf(port);
  const detail = `${port} is in use${owner ? ` by ${owner.name}, pid ${owner.pid}` : ''}`;
  // The platform itself, most often: then all is as it should be.
  if (owner?.aiot) return ok(check, detail);
  return warn(check, detail, `aiot up ${flag} 0 takes any free port.`);
}

/** The system's error code, or undefined when it could listen. */
function listen(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error) => resolve(systemCode(error) ?? 'unknown error'));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}
