import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Graph } from '../../src/lib/formats/tflite/graph.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';

/**
 * Runs models in the firmware's own interpreter (firmware/test/run_models.c, built by CMake at `program`).
 * `input` and the output contain any number of consecutive runs; `said` is `ok ARENA_BYTES` or the error code.
 */
export async function runInFirmware(
  program: string,
  jobs: {
    graph: Graph | Uint8Array;
    input: Int8Array | Int16Array | Int32Array | Uint8Array | Uint32Array | Float32Array;
  }[],
): Promise<{ output: Int8Array; said: string }[]> {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-native-'));
  try {
    const list = jobs.map(({ graph, input }, index) => {
      const paths = ['model', 'input', 'output'].map((kind) => join(folder, `${index}.${kind}`));
      writeFileSync(paths[0]!, graph instanceof Uint8Array ? graph : writeTflite(graph));
      writeFileSync(paths[1]!, new Uint8Array(input.buffer, input.byteOffset, input.byteLength));
      return paths as [string, string, string];
    });
    const listFile = join(folder, 'jobs.list');
    writeFileSync(listFile, list.map((paths) => `${paths.join('\n')}\n`).join(''));
    const ran = await promisify(execFile)(program, [listFile], { maxBuffer: 2 ** 26 });
    const said = ran.stdout.trim().split('\n');
    return list.map(([, , output], index) => ({
      output: new Int8Array(readFileSync(output)),
      said: said[index] ?? '',
    }));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
