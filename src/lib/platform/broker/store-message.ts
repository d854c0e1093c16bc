import type { Logger } from 'pino';
import { AiotError } from '../../core/index.js';
import type { BrokerFigures } from './figures.js';

/** Errors that a message would meet again however often it is sent. */
const unstorable = new Set<string>(['AIOT_MESSAGE_MALFORMED', 'AIOT_NOT_FOUND']);

export interface StoringParts {
  /** Stores a message; rejects with AIOT_MESSAGE_MALFORMED for what can never be stored. */
  ingest: (topic: string, payload: Buffer) => Promise<void>;
  figures: BrokerFigures;
  log: Logger;
}

/** Stores a message of protocol v1. What is no message of it is counted and dropped: sent again it would be no better. */
export async function storeMessage(
  { ingest, figures, log }: StoringParts,
  who: string,
  topic: string,
  payload: Buffer,
): Promise<void> {
  try {
    await ingest(topic, payload);
  } catch (error) {
    if (!(error instanceof AiotError) || !unstorable.has(error.code)) {
      log.error({ err: error, topic }, 'a message could not be stored');
      throw error;
    }
    figures.malformed++;
    log.warn({ client: who, topic }, error.message);
  }
}
