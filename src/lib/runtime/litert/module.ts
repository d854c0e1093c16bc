import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { compileFunction } from 'node:vm';
import type { LiteRt } from '@litertjs/core';
import { AiotError } from '../../core/index.js';

/** The bindings of LiteRT's WebAssembly module, as the package's own types describe them. */
export type LiteRtWasm = LiteRt['liteRtWasm'];

export interface LiteRtModule {
  wasm: LiteRtWasm;
  environment: ReturnType<LiteRtWasm['LiteRtEnvironment']['create']>;
  /** What LiteRT has printed since the last call. */
  takeMessages: () => string;
}

/**
 * The build for every Node: relaxed SIMD (Node ≥ 21) may round differently from machine to machine, and threads would
 * keep workers alive.
 */
const script = 'litert_wasm_compat_internal.js';

let loading: Promise<LiteRtModule> | undefined;

/** LiteRT, loaded on first use and shared by all models of the process. @throws AIOT_LITERT_FAILED */
export function liteRtModule(): Promise<LiteRtModule> {
  loading ??= load().catch((error: unknown) => {
    loading = undefined;
    throw new AiotError('AIOT_LITERT_FAILED', 'LiteRT could not be loaded from @litertjs/core', {
      cause: error,
    });
  });
  return loading;
}

/**
 * Runs the package's classic script as a function with the names it looks for, so nothing becomes global. (Its own
 * loader wants a page or a worker, `importScripts` and `self` as globals, and warns about a missing GPU.)
 */
async function load(): Promise<LiteRtModule> {
  const require = createRequire(import.meta.url);
  const folder = join(dirname(require.resolve('@litertjs/core/package.json')), 'wasm');
  const source = await readFile(join(folder, script), 'utf8');
  const names = { require, __dirname: folder, __filename: join(folder, script), navigator: {}, self: {} };
  const factory = compileFunction(`${source}\nreturn ModuleFactory;`, Object.keys(names), {
    filename: names.__filename,
  })(...Object.values(names));
  let messages: string[] = [];
  const keep = (line: unknown) => {
    messages = [...messages.slice(-19), String(line)];
  };
  const wasm: LiteRtWasm = await factory({ print: keep, printErr: keep });
  return {
    wasm,
    environment: wasm.LiteRtEnvironment.create(null),
    takeMessages: () => {
      const text = messages.join(' ').trim();
      messages = [];
      return text;
    },
  };
}
