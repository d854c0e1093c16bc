import { withClient } from '../../api/context.js';
import type { NewPipelineRequest, PipelineRequest } from '../../api/contract/pipeline-requests.js';
import { AiotError } from '../../core/errors.js';
import { type Clock, systemClock } from '../../core/time.js';

interface RequestOptions extends NewPipelineRequest {
  context?: string | undefined;
  /** Whether to wait for the end of the run. */
  wait?: boolean;
  clock?: Clock;
  signal: AbortSignal;
  /** Called with each new line of the run's log. */
  onLine?(line: string): void;
  /** Called once when the platform cannot be reached; the wait continues. */
  onTrouble?(text: string): void;
}

/** How often a waiting caller asks for news, ms. */
const askEveryMs = 1000;

/**
 * Requests a run of a project's pipeline from a connected runner. Aborting ends only the wait.
 * @throws AIOT_PIPELINE_RUNNER, AIOT_REQUEST_INVALID (no such step), and other errors of the platform
 */
export async function requestPipeline(options: RequestOptions): Promise<PipelineRequest> {
  const { context, wait = false, clock = systemClock, signal, onLine, onTrouble, ...asked } = options;
  return await withClient(context, async (client) => {
    const made = await client.pipelineRequests.create(asked);
    if (!wait) return made;
    let troubled = false;
    for (let shown = 0; ; await clock.sleep(askEveryMs, signal)) {
      const found = await client.pipelineRequests.get(made.id).catch((error: unknown) => {
        if (!isTemporary(error)) throw error;
        if (!troubled) onTrouble?.(error.message);
        return null;
      });
      troubled = found === null;
      if (found === null) continue;
      const { lines, log, ...request } = found;
      const fresh = Math.min(lines - shown, log.length);
      for (const line of log.slice(log.length - fresh)) onLine?.(line);
      shown = lines;
      if (request.ended !== null) return request;
    }
  });
}

/** Whether a call may succeed later. */
export function isTemporary(error: unknown): error is AiotError {
  return (
    error instanceof AiotError &&
    (error.retryable === true ||
      error.code === 'AIOT_PLATFORM_UNREACHABLE' ||
      error.code === 'AIOT_RATE_LIMITED')
  );
}
