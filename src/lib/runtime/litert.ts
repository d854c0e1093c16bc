import { createRequire } from 'node:module';
import { compileFunction } from 'node:vm';
import type { LiteRt } from '@litertjs/core';
import { AiotError } from '../core/errors.js';
import { vendoredFile } from '../core/folders.js';
import { type Graph, isEmpty, type Operator, type Tensor } from '../formats/tflite/graph.js';
import { readTflite } from '../formats/tflite/read.js';
import { writeTflite } from '../formats/tflite/write.js';

/** A network opened in LiteRT. */
interface LiteRtModel {
  /** Number of elements in all inputs, and in the output. */
  readonly inputs: number;
  readonly outputs: number;
  /**
   * Takes the real values of all inputs, one input after another. Returns real values in a new array each time.
   * @throws AIOT_TFLITE_INPUT, AIOT_LITERT_FAILED
   */
  predict(input: Float32Array): Float32Array;
  /** Releases its memory. */
  close(): void;
}

/**
 * Opens a .tflite file in Google's LiteRT (WebAssembly, one thread, XNNPACK kernels). An int8 network is opened through its float view,
 * because LiteRT's bindings accept only float32. Results of int8 networks may differ from a device's by a few steps (XNNPACK rounds in
 * floating point), so compare accuracies rather than single values.
 * @throws AIOT_TFLITE_MALFORMED, AIOT_TFLITE_UNSUPPORTED, AIOT_LITERT_FAILED
 */
export async function openLiteRt(bytes: Uint8Array): Promise<LiteRtModel> {
  // Parsing the file first protects the native code from damaged files. Writing the file again replaces a variable batch size with a fixed
  // size.
  const graph = floatView(readTflite(bytes));
  const ends = [...graph.inputs, ...graph.outputs];
  if (graph.outputs.length !== 1 || ends.some((index) => graph.tensors[index]!.type !== 'float32'))
    throw new AiotError(
      'AIOT_TFLITE_UNSUPPORTED',
      'expected inputs and one output of float32, int32, int16, int8 or bool',
    );
  // LiteRT's compiled models have no buffers of 0 bytes; its older interpreter has.
  if (isEmpty(graph.tensors[graph.outputs[0]!]!))
    throw new AiotError(
      'AIOT_TFLITE_UNSUPPORTED',
      'the output has no elements, so there is nothing to predict',
    );
  const { inputs, outputs, run, close } = await openLiteRtSession(writeTflite(graph));
  return { inputs, outputs: outputs[0]!, predict: (input) => run(input)[0]!, close };
}

/** A compiled file whose inputs and outputs, of any number, are float32 tensors. */
export interface LiteRtSession {
  /** Number of elements in all inputs, and in each output in file order. */
  readonly inputs: number;
  readonly outputs: readonly number[];
  /**
   * @param input values of all inputs, one input after another
   * @returns a new array for each output
   * @throws AIOT_TFLITE_INPUT, AIOT_LITERT_FAILED
   */
  run(input: Float32Array): Float32Array[];
  /** Releases its memory. */
  close(): void;
}

/**
 * Compiles a .tflite file unchanged, for the CPU and one thread. The native code does not validate the file. Therefore, pass only files
 * that were verified by a digest, or that this program wrote (as `openLiteRt` does).
 * @throws AIOT_LITERT_FAILED
 */
export async function openLiteRtSession(file: Uint8Array): Promise<LiteRtSession> {
  const module = await liteRtModule();
  const { wasm, environment } = module;
  const pointer = wasm._malloc(file.length);
  const undo: (() => void)[] = [() => wasm._free(pointer)];
  const close = () => {
    for (const step of undo.splice(0).reverse()) step();
  };
  try {
    wasm.HEAPU8.set(file, pointer);
    const model = owned(undo, wasm.loadModel(environment, pointer, file.length));
    const options = {
      environment,
      accelerator: 'wasm',
      cpuOptions: { numThreads: 1 },
      gpuOptions: {},
      webNNOptions: {},
    };
    const compiled = owned(undo, await wasm.compileModel(environment, model, options as never));
    const signature = owned(undo, model.getSignature(0));
    const given = Array.from({ length: owned(undo, signature.inputNames()).size() }, (_, index) => {
      const type = owned(undo, model.getInputTensorType(0, index));
      const memory = wasm.LiteRtTensorBufferType.HOST_MEMORY;
      const buffer = wasm.LiteRtTensorBuffer.createManaged(environment, memory, type, type.bytes());
      return { buffer: owned(undo, buffer), size: type.bytes() / 4 };
    });
    const inputs = given.reduce((sum, { size }) => sum + size, 0);
    const names = owned(undo, signature.outputNames());
    return {
      inputs,
      outputs: Array.from(
        { length: names.size() },
        (_, index) => owned(undo, model.getOutputTensorType(0, index)).bytes() / 4,
      ),
      close,
      run: (input) => {
        if (undo.length === 0) throw new AiotError('AIOT_LITERT_FAILED', 'the model is closed');
        checkInput(input, inputs);
        let start = input.byteOffset;
        for (const { buffer, size } of given) {
          const at = buffer.lock(wasm.LiteRtTensorBufferLockMode.WRITE);
          // The heap may have moved since the last run, so each run creates a new view.
          wasm.HEAPU8.set(new Uint8Array(input.buffer, start, 4 * size), at);
          buffer.unlock();
          start += 4 * size;
        }
        const results = compiled.run(
          0,
          given.map(({ buffer }) => buffer),
        );
        if (results instanceof Promise) throw new AiotError('AIOT_BUG', 'LiteRT ran asynchronously');
        return takeOutputs(module, results);
      },
    };
  } catch (error) {
    close();
    if (error instanceof AiotError) throw error;
    const reason = module.takeMessages() || String(error);
    throw new AiotError('AIOT_LITERT_FAILED', `LiteRT rejected the model: ${reason}`, { cause: error });
  }
}

function checkInput(input: Float32Array, inputs: number): void {
  if (input.length !== inputs)
    throw new AiotError('AIOT_TFLITE_INPUT', `expected ${inputs} values, got ${input.length}`);
  // A plain loop is used for speed: a picture has a hundred thousand values, and ten pictures may arrive per second.
  for (let i = 0; i < inputs; i++)
    if (!Number.isFinite(input[i]!))
      throw new AiotError(
        'AIOT_TFLITE_INPUT',
        `value ${i} of the input is ${input[i]}, expected a finite number`,
      );
}

type Results = Extract<
  ReturnType<Awaited<ReturnType<LiteRtModule['wasm']['compileModel']>>['run']>,
  unknown[]
>;

/** Copies the results, and deletes the originals because LiteRT would leak them. */
function takeOutputs({ wasm }: LiteRtModule, results: Results): Float32Array[] {
  if (results.length === 0) throw new AiotError('AIOT_LITERT_FAILED', 'LiteRT returned no output');
  return results.map((result) => {
    const at = result.lock(wasm.LiteRtTensorBufferLockMode.READ);
    const output = new Float32Array(wasm.HEAPU8.slice(at, at + result.packedSize()).buffer);
    result.unlock();
    result.delete();
    return output;
  });
}

/** Registers an object in native memory for deletion on close. */
function owned<T extends { delete(): void }>(undo: (() => void)[], object: T): T {
  undo.push(() => object.delete());
  return object;
}

/** The bindings for LiteRT's WebAssembly module, with the package's own types. */
type LiteRtWasm = LiteRt['liteRtWasm'];

interface LiteRtModule {
  wasm: LiteRtWasm;
  environment: ReturnType<LiteRtWasm['LiteRtEnvironment']['create']>;
  /** Returns the text that LiteRT has printed since the last call. */
  takeMessages: () => string;
}

/**
 * The build that works in every Node version. Relaxed SIMD (Node ≥ 21) may round differently on each machine, and threads would keep the
 * process alive.
 */
const build = 'litert_wasm_compat_internal';

let loading: Promise<LiteRtModule> | undefined;

/** LiteRT is loaded on first use, and shared by all models in the process. @throws AIOT_LITERT_FAILED */
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
 * Runs the package's classic script as a function whose parameters are the names that the script needs, so that nothing becomes global. The
 * package's own loader requires a page or a worker, sets `importScripts` and `self` as globals, and warns about a missing GPU.
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

/**
 * The network with float32 inputs and outputs instead of integer ones. A QUANTIZE follows each int8 or int16 input, and a DEQUANTIZE precedes
 * such an output. A CAST converts int32 and bool. Existing float32 inputs and outputs, and tensor indices, are unchanged.
 */
export function floatView(graph: Graph): Graph {
  const tensors: Tensor[] = [...graph.tensors];
  const before: Operator[] = [];
  const after: Operator[] = [];
  const floatTwin = (index: number): number => {
    const { name, shape } = graph.tensors[index]!;
    tensors.push({ name: `${name}/float`, shape, type: 'float32' });
    return tensors.length - 1;
  };
  const inputs = graph.inputs.map((index) => {
    const tensor = graph.tensors[index]!;
    if (tensor.type === 'float32') return index;
    const twin = floatTwin(index);
    const options = { inDataType: 'float32', outDataType: tensor.type } as const;
    before.push(
      isQuantized(tensor)
        ? { op: 'QUANTIZE', inputs: [twin], outputs: [index], options: {} }
        : { op: 'CAST', inputs: [twin], outputs: [index], options },
    );
    return twin;
  });
  const outputs = graph.outputs.map((index) => {
    const tensor = graph.tensors[index]!;
    if (tensor.type === 'float32') return index;
    const twin = floatTwin(index);
    const options = { inDataType: tensor.type, outDataType: 'float32' } as const;
    after.push(
      isQuantized(tensor)
        ? { op: 'DEQUANTIZE', inputs: [index], outputs: [twin], options: {} }
        : { op: 'CAST', inputs: [index], outputs: [twin], options },
    );
    return twin;
  });
  return { ...graph, tensors, operators: [...before, ...graph.operators, ...after], inputs, outputs };
}

/** Samples of sound have no scale, so they are converted as whole numbers. */
function isQuantized(tensor: Tensor | undefined): boolean {
  return (tensor?.type === 'int8' || tensor?.type === 'int16') && tensor.quantization !== undefined;
}
