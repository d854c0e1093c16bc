import { AiotError } from '../../core/index.js';
import { loadTfjs } from '../../model/index.js';
import { liteRtModule } from '../../runtime/index.js';
import { type Finding, fail, ok } from '../finding.js';

const reinstall =
  'Install the dependencies anew: npm ci && npm run build in a clone, or npm install -g aiot.';

/** Whether the two WebAssembly libraries load: LiteRT runs what was trained; TensorFlow.js, which is optional, trains with --backend wasm or cpu. */
export async function checkLibraries(): Promise<Finding[]> {
  return [
    await loads('tensorflow', 'TensorFlow.js on its wasm backend', async () => {
      const loaded = await loadTfjs('wasm').catch((error: unknown) => {
        if (error instanceof AiotError && error.code === 'AIOT_BACKEND_MISSING') return undefined;
        throw error;
      });
      if (!loaded) return 'TensorFlow.js is not installed; only --backend cpu, wasm and node need it';
      return `TensorFlow.js ${loaded.tf.version_core}, backend ${loaded.tf.getBackend()}`;
    }),
    await loads('litert', 'LiteRT', async () => {
      await liteRtModule();
      return 'LiteRT loads';
    }),
  ];
}

async function loads(check: string, what: string, load: () => Promise<string>): Promise<Finding> {
  const started = performance.now();
  try {
    const detail = await load();
    return ok(check, `${detail} (${Math.round(performance.now() - started)} ms)`);
  } catch (error) {
    const reason = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    return fail(check, `${what} does not load: ${String(reason).split('\n')[0]}`, reinstall);
  }
}
