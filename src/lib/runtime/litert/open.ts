import { AiotError } from '../../core/index.js';
import { readTflite, writeTflite } from '../../formats/index.js';
import { floatView } from '../float-view.js';
import { type LiteRtModule, liteRtModule } from './module.js';

/** A network opened in LiteRT. */
export interface LiteRtModel {
  /** Elements of the input and of the output. */
  readonly inputs: number;
  readonly outputs: number;
  /** Real values in, real values out, a new array each time. @throws AIOT_TFLITE_INPUT, AIOT_LITERT_FAILED */
  predict(input: Float32Array): Float32Array;
  /** Gives its memory back. */
  close(): void;
}

/**
 * Opens a .tflite file in Google's LiteRT (WebAssembly, one thread, XNNPACK kernels). An int8 network is opened through
 * its float view, because LiteRT's bindings take float32 alone; int8 results may differ from a device's by a few steps
 * (XNNPACK rounds in floating point), so compare by accuracy.
 * @throws AIOT_TFLITE_MALFORMED, AIOT_TFLITE_UNSUPPORTED, AIOT_LITERT_FAILED
 */
export async function openLiteRt(bytes: Uint8Array): Promise<LiteRtModel> {
  // Reading first keeps damaged files away from native code, and writing makes an open batch a fixed one.
  const graph = floatView(readTflite(bytes));
  const ends = [...graph.inputs, ...graph.outputs];
  if (ends.length !== 2 || ends.some((index) => graph.tensors[index]!.type !== 'float32'))
    throw new AiotError(
      'AIOT_TFLITE_UNSUPPORTED',
      'expected one input and one output of float32, int16 or int8',
    );
  const file = writeTflite(graph);
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
    const type = owned(undo, model.getInputTensorType(0, 0));
    const outputType = owned(undo, model.getOutputTensorType(0, 0));
    const buffer = owned(
      undo,
      wasm.LiteRtTensorBuffer.createManaged(
        environment,
        wasm.LiteRtTensorBufferType.HOST_MEMORY,
        type,
        type.bytes(),
      ),
    );
    const inputs = type.bytes() / 4;
    const outputs = outputType.bytes() / 4;
    return {
      inputs,
      outputs,
      close,
      predict: (input) => {
        if (undo.length === 0) throw new AiotError('AIOT_LITERT_FAILED', 'the network is closed');
        if (input.length !== inputs)
          throw new AiotError('AIOT_TFLITE_INPUT', `expected ${inputs} values, got ${input.length}`);
        const wrong = input.findIndex((value) => !Number.isFinite(value));
        if (wrong >= 0)
          throw new AiotError(
            'AIOT_TFLITE_INPUT',
            `value ${wrong} of the input is ${input[wrong]}, expected a finite number`,
          );
        const at = buffer.lock(wasm.LiteRtTensorBufferLockMode.WRITE);
        // The heap may have moved since the last run: its view is taken anew each time.
        wasm.HEAPU8.set(new Uint8Array(input.buffer, input.byteOffset, input.byteLength), at);
        buffer.unlock();
        const results = compiled.run(0, [buffer]);
        if (results instanceof Promise) throw new AiotError('AIOT_BUG', 'LiteRT ran asynchronously');
        return takeOutput(module, results);
      },
    };
  } catch (error) {
    close();
    if (error instanceof AiotError) throw error;
    const reason = module.takeMessages() || String(error);
    throw new AiotError('AIOT_LITERT_FAILED', `LiteRT did not take the network: ${reason}`, { cause: error });
  }
}

type Results = Extract<
  ReturnType<Awaited<ReturnType<LiteRtModule['wasm']['compileModel']>>['run']>,
  unknown[]
>;

/** Copies the first result and deletes all of them: LiteRT leaks what is not deleted. */
function takeOutput({ wasm }: LiteRtModule, results: Results): Float32Array {
  const [first] = results;
  if (first === undefined) throw new AiotError('AIOT_LITERT_FAILED', 'LiteRT returned no output');
  const at = first.lock(wasm.LiteRtTensorBufferLockMode.READ);
  const output = new Float32Array(wasm.HEAPU8.slice(at, at + first.packedSize()).buffer);
  first.unlock();
  for (const result of results) result.delete();
  return output;
}

/** Registers an object of native memory to be deleted on close. */
function owned<T extends { delete(): void }>(undo: (() => void)[], object: T): T {
  undo.push(() => object.delete());
  return object;
}
