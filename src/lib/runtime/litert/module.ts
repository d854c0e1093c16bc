import { createRequire } from 'node:module';
import { compileFunction } from 'node:vm';
import type { LiteRt } from '@litertjs/core';
import { AiotError, vendoredFile } from '../../core/index.js';

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
const build = 'litert_wasm_compat_internal';

let loading: Promise<LiteRtModule> | undefined;

/** LiteRT, loaded on first use and shared by all models of the process. @throws AIOT_LITERT_FAILED */
export function liteRtModule(): Promise<LiteRtModule> {
  loading ??= load().catch((error: unknown) => {
    loading = undefined;
    throw new AiotError('AIOT_LITERT_FAILED', 'LiteRT could not be loaded', {
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
  const [script, wasmBinary] = await Promise.all([
    vendoredFile(`${build}.js`),
    vendoredFile(`${build}.wasm.gz`),
  ]);
  const source = Buffer.from(script).toString('utf8');
  const require = createRequire(import.meta.url);
  const names = { require, __dirname: '/', __filename: `/${build}.js`, navigator: {}, self: {} };
  const factory = compileFunction(`${source}\nreturn ModuleFactory;`, Object.keys(names), {
    filename: names.__filename,
  })(...Object.values(names));
  let messages: string[] = [];
  const keep = (line: unknown) => {
    messages = [...messages.slice(-19), String(line)];
  };
  const wasm: LiteRtWasm = await factory({ wasmBinary, print: keep, printErr: keep });
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
