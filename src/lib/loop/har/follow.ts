import { type Delivery, openSource } from '../../stream/index.js';
import { reading } from './layout.js';
import { opened, reasonOf, type Stage } from './stage.js';

/**
 * A subject's messages in batches until the stage is ended, whatever becomes of the server. What is not acknowledged when it ends goes
 * back at once, for the next one. `onOpen`: it is being read, also after it was lost.
 */
export async function* follow(
  stage: Stage,
  stream: string,
  subject: string,
  onOpen?: () => void,
): AsyncGenerator<readonly Delivery[]> {
  const { server, signal } = stage;
  while (!signal.aborted) {
    const source = await opened(stage, server.endpoint, () =>
      openSource(server.urlOf(subject), {
        ...server.options,
        ...reading(stream, subject),
        signal,
        overflow: 'wait',
      }),
    ).catch((error: unknown) => {
      if (signal.aborted) return undefined;
      throw error;
    });
    if (!source) return;
    onOpen?.();
    const close = () => void source.close();
    signal.addEventListener('abort', close, { once: true });
    try {
      yield* source;
    } catch (error) {
      if (!signal.aborted) {
        stage.tell({ kind: 'away', what: `${server.endpoint}, ${subject}`, why: reasonOf(error) });
      }
    } finally {
      signal.removeEventListener('abort', close);
      await source.close();
    }
    if (!signal.aborted) await stage.clock.sleep(250, signal).catch(() => {});
  }
}
