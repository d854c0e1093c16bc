/** Serial ports over TCP with their speed and their DTR and RTS, by RFC 2217: client and server. */
export { openRfc2217Line } from './client.js';
export { describeServeEvent, type ServeEvent, serveEventSchema } from './events.js';
export { type ServePortOptions, servePort } from './serve-port.js';
export { type ServedLine, type ServeLineOptions, serveLine } from './server.js';
