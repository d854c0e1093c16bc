import { AiotError } from '../../core/index.js';
import { type LiteRtModule, liteRtModule } from './module.js';

/** A file of float32 tensors, compiled: one input, any number of outputs. */
export interface LiteRtSession {
  /** Elements of the input, and of each output in the file's order. */
  readonly inputs: number;
  readonly outputs: readonly number[];
  /** A new array for each output. @throws AIOT_TFLITE_INPUT, AIOT_LITERT_FAILED */
  run(input: Float32Array): Float32Array[];
  /** Gives its memory back. */
  close(): void;
}

/**
 * Compiles a .tflite file as it stands, for the CPU and one thread. The native code takes it as it is: give it only files that
 * are known, by their hash, or that this program wrote itself (`openLiteRt` does).
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
    const type = owned(undo, model.getInputTensorType(0, 0));
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
    const names = owned(undo, owned(undo, model.getSignature(0)).outputNames());
    return {
      inputs,
      outputs: Array.from(
        { length: names.size() },
        (_, index) => owned(undo, model.getOutputTensorType(0, index)).bytes() / 4,
      ),
      close,
      run: (input) => {
        if (undo.length === 0) throw new AiotError('AIOT_LITERT_FAILED', 'the network is closed');
        checkInput(input, inputs);
        const at = buffer.lock(wasm.LiteRtTensorBufferLockMode.WRITE);
        // The heap may have moved since the last run: its view is taken anew each time.
        wasm.HEAPU8.set(new Uint8Array(input.buffer, input.byteOffset, input.byteLength), at);
        buffer.unlock();
        const results = compiled.run(0, [buffer]);
        if (results instanceof Promise) throw new AiotError('AIOT_BUG', 'LiteRT ran asynchronously');
        return takeOutputs(module, results);
      },
    };
  } catch (error) {
    close();
    if (error instanceof AiotError) throw error;
    const reason = module.takeMessages() || String(error);
    throw new AiotError('AIOT_LITERT_FAILED', `LiteRT did not take the network: ${reason}`, { cause: error });
  }
}

function checkInput(input: Float32Array, inputs: number): void {
  if (input.length !== inputs)
    throw new AiotError('AIOT_TFLITE_INPUT', `expected ${inputs} values, got ${input.length}`);
  // A loop: a picture has a hundred thousand values, ten times a second.
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

/** Copies the results and deletes them: LiteRT leaks what is not deleted. */
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

/** Registers an object of native memory to be deleted on close. */
function owned<T extends { delete(): void }>(undo: (() => void)[], object: T): T {
  undo.push(() => object.delete());
  return object;
}
