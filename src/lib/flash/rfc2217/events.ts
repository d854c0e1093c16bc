import { z } from 'zod';

const peer = z.string().describe('HOST:PORT of the client.');

/** What happens on a shared line. */
export const serveEventSchema = z.discriminatedUnion('event', [
  z.object({
    event: z.literal('serving'),
    address: z.string().describe('What --port takes on the other machine.'),
  }),
  z.object({ event: z.literal('connected'), peer }),
  z.object({
    event: z.literal('disconnected'),
    peer,
    sent: z.number().describe('Bytes to the board.'),
    received: z.number().describe('Bytes from the board.'),
  }),
  z.object({ event: z.literal('refused'), peer, why: z.string() }),
  z.object({ event: z.literal('lost'), why: z.string() }),
]);
export type ServeEvent = z.infer<typeof serveEventSchema>;

/** One sentence for people. */
export function describeServeEvent(event: ServeEvent): string {
  switch (event.event) {
    case 'serving':
      return `serving at ${event.address}`;
    case 'connected':
      return `${event.peer} has the port`;
    case 'disconnected':
      return `${event.peer} has gone: ${event.sent} bytes to the board, ${event.received} from it`;
    case 'refused':
      return `${event.peer} sent away: ${event.why}`;
    case 'lost':
      return `${event.why}; the next client opens the port again`;
  }
}
