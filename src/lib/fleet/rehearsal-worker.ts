import type { RehearsalAnswer, RehearsalRequest } from '../api/rollouts/rehearsal.js';
import { rehearseAll } from './rehearse.js';

// The dashboard's worker that rehearses a rollout as `aiot rollout rehearse` does, without blocking the page. scripts/web.js builds it for
// browsers.

interface WorkerScope {
  addEventListener(type: 'message', listener: (event: { data: RehearsalRequest }) => void): void;
  postMessage(answer: RehearsalAnswer): void;
}
const scope = globalThis as unknown as WorkerScope;

scope.addEventListener('message', ({ data: { plan, conditions } }) => {
  rehearseAll(plan, { ...conditions, onRun: (done) => scope.postMessage({ done }) }).then(
    (result) => scope.postMessage({ result }),
    (error: unknown) => scope.postMessage({ error: error instanceof Error ? error.message : String(error) }),
  );
});
