import { AiotError, systemCode } from '../core/errors.js';
import { type AnsweringProgram, type FailedProgram, runProgramNow, startAnswering } from '../core/process.js';
import { elementCount, type Graph, hasState, type Tensor } from '../formats/tflite/graph.js';
import { writeTflite } from '../formats/tflite/write.js';
import type { Activations } from './interpreter/node.js';
import { floatView } from './litert.js';

/**
 * Models are run in the Python package `ai-edge-litert`, which the user has installed. It is native code, so it is faster than WebAssembly.
 */

/** Exit code of the program below if the package is missing. */
const packageMissing = 97;

/**
 * Reads a file with float32 inputs and outputs (preceded by its length, uint32), and then rows until the end. Writes the outputs of each
 * row. Numbers are little-endian.
 */
const program = `
import struct, sys
try:
    import numpy
    from ai_edge_litert.interpreter import Interpreter
except ImportError as error:
    print(error, file=sys.stderr)
    sys.exit(${packageMissing})
size = struct.unpack("<I", sys.stdin.buffer.read(4))[0]
interpreter = Interpreter(model_content=sys.stdin.buffer.read(size), num_threads=1)
interpreter.allocate_tensors()
given = interpreter.get_input_details()
made = interpreter.get_output_details()
ends = numpy.cumsum([int(numpy.prod(each["shape"])) for each in given])
rows = numpy.frombuffer(sys.stdin.buffer.read(), dtype="<f4").reshape([-1, int(ends[-1])])
for row in rows:
    for each, part in zip(given, numpy.split(row, ends[:-1])):
        interpreter.set_tensor(each["index"], part.reshape(each["shape"]).astype("float32"))
    interpreter.invoke()
    for each in made:
        sys.stdout.buffer.write(interpreter.get_tensor(each["index"]).astype("<f4").tobytes())
`;

/** Maximum time for all rows of one call, ms. */
const timeoutMs = 30 * 60_000;

/** Bytes that the program may write, in addition to the outputs. */
const messageBytes = 1 << 20;

/**
 * Returns a function that runs rows of real values, [rows × inputs], in `ai-edge-litert`, and returns [rows × outputs].
 * @param outputs number of values in the output
 * @param python program with the package; default: AIOT_PYTHON, or `python3`
 */
export function openEdgeLiteRt(
  graph: Graph,
  outputs: number,
  python = pythonInUse(),
): (inputs: Float32Array, rows: number) => Float32Array {
  const file = precededByLength(writeTflite(floatView(graph)));
  return (inputs, rows) => {
    const bytes = Buffer.from(inputs.buffer, inputs.byteOffset, inputs.byteLength);
    const { code, stdout, stderr, error } = runProgramNow(python, ['-c', program], {
      input: Buffer.concat([file, bytes]),
      mostOutput: 4 * rows * outputs + messageBytes,
      timeoutMs,
    });
    if (error || code !== 0 || stdout.length !== 4 * rows * outputs)
      throw failure(python, { code, stderr, reason: error?.message, system: systemCode(error) });
    return new Float32Array(Uint8Array.from(stdout).buffer);
  };
}

const pythonInUse = () => process.env.AIOT_PYTHON || 'python3';

function failure(python: string, { code, stderr, reason, system }: FailedProgram): AiotError {
  if (system === 'ENOENT') return missing(`the program ${python} does not exist`);
  const last = stderr.trim().split('\n').at(-1);
  if (code === packageMissing) return missing(`${python}: ${last}`);
  const why = reason ?? (last || `exit code ${code}`);
  return new AiotError('AIOT_LITERT_FAILED', `ai-edge-litert could not run the model: ${why}`);
}

function missing(reason: string): AiotError {
  return new AiotError('AIOT_BACKEND_MISSING', `ai-edge-litert is missing: ${reason}`, {
    next: 'Run `pip install ai-edge-litert`, and set AIOT_PYTHON to that Python. Or omit --runtime.',
  });
}

/** A model in `ai-edge-litert` that runs one input after another. */
export interface EdgeLiteRtSession {
  /**
   * Runs the model once, as `Interpreter.invoke` does, and returns a new array. The first run starts Python. If Python ends between two
   * runs or is too slow, it is started again, but only once; variables then have their initial values.
   * @throws AIOT_BACKEND_MISSING, AIOT_LITERT_FAILED
   */
  invoke<Data extends Activations>(input: Data): Data;
  /** Resets variables to their initial values. Does not throw: after a failure, the next run starts Python again. */
  reset(): void;
  /** Ends Python. The next run starts it again. */
  close(): void;
}

/**
 * Reads a file, preceded by its length (uint32, little-endian), and then requests until the end. `i` is followed by the values of all inputs,
 * and returns those of all outputs; `r` opens the model again and returns one byte. A service manager sends SIGTERM to all processes of a
 * service, so the program ignores it, and ends with its stdin.
 */
const server = `
import signal, struct, sys
for ending in (signal.SIGINT, signal.SIGTERM):
    signal.signal(ending, signal.SIG_IGN)
try:
    import numpy
    from ai_edge_litert.interpreter import Interpreter
except ImportError as error:
    print(error, file=sys.stderr)
    sys.exit(${packageMissing})
size = struct.unpack("<I", sys.stdin.buffer.read(4))[0]
file = sys.stdin.buffer.read(size)
def opened():
    interpreter = Interpreter(model_content=file, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter
interpreter = opened()
given = interpreter.get_input_details()
made = interpreter.get_output_details()
while request := sys.stdin.buffer.read(1):
    if request == b"r":
        interpreter = opened()
        sys.stdout.buffer.write(b"r")
    else:
        for each in given:
            kind = numpy.dtype(each["dtype"])
            part = sys.stdin.buffer.read(int(numpy.prod(each["shape"])) * kind.itemsize)
            interpreter.set_tensor(each["index"], numpy.frombuffer(part, dtype=kind).reshape(each["shape"]))
        interpreter.invoke()
        for each in made:
            sys.stdout.buffer.write(interpreter.get_tensor(each["index"]).tobytes())
    sys.stdout.buffer.flush()
`;

/** The request that opens the model again. */
const again = Buffer.from('r');

/** Maximum time for one run, including the start of Python, ms. */
const runMs = 120_000;

/**
 * Opens a model for one input at a time, for callers that cannot be asynchronous. All inputs have one type, and all outputs another.
 * @param python program with the package; default: AIOT_PYTHON, or `python3`
 */
export function openEdgeLiteRtSession(graph: Graph, python = pythonInUse()): EdgeLiteRtSession {
  const [inputs, outputs] = [graph.inputs, graph.outputs].map((ends) => bytesOf(graph, ends));
  let running: AnsweringProgram | null = null;
  let restarted = false;
  const close = () => {
    running?.close();
    running = null;
  };
  const ask = (request: Uint8Array, expected: number): Uint8Array<ArrayBuffer> => {
    const first = running === null;
    running ??= startAnswering(python, ['-c', server], outputs!);
    const whole = first ? Buffer.concat([precededByLength(writeTflite(graph)), request]) : request;
    const answered = running.ask(whole, expected, runMs);
    if ('answer' in answered) return answered.answer;
    close();
    if (first || restarted || request === again) throw failure(python, answered.ending);
    restarted = true;
    return ask(request, expected);
  };
  return {
    invoke<Data extends Activations>(input: Data): Data {
      if (input.byteLength !== inputs)
        throw new AiotError(
          'AIOT_TFLITE_INPUT',
          `expected ${inputs} bytes of input, got ${input.byteLength}`,
        );
      const values = Buffer.from(input.buffer, input.byteOffset, input.byteLength);
      const answer = ask(Buffer.concat([Buffer.from('i'), values]), outputs!);
      return arrayOf(graph.tensors[graph.outputs[0]!]!, answer.buffer) as unknown as Data;
    },
    // LiteRT cannot reset variables, so the model is opened again. Without a process, the next run begins with initial values anyway.
    reset: () => {
      if (!running || !hasState(graph)) return;
      try {
        ask(again, 1);
      } catch {
        // Python was closed, so the next run begins with initial values.
      }
    },
    close,
  };
}

function precededByLength(file: Uint8Array): Uint8Array {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(file.length);
  return Buffer.concat([length, file]);
}

const arrays = { float32: Float32Array, int8: Int8Array, int16: Int16Array };

function kindOf({ name, type }: Tensor) {
  const kind = Object.entries(arrays).find(([known]) => known === type)?.[1];
  if (kind) return kind;
  throw new AiotError('AIOT_TFLITE_UNSUPPORTED', `ai-edge-litert: no support for ${type} (${name})`);
}

const arrayOf = (tensor: Tensor, buffer: ArrayBuffer) => new (kindOf(tensor))(buffer);

/** Bytes of all inputs or of all outputs. */
function bytesOf({ tensors }: Graph, ends: readonly number[]): number {
  const sizes = ends.map((index) => {
    const tensor = tensors[index]!;
    return elementCount(tensor.shape) * kindOf(tensor).BYTES_PER_ELEMENT;
  });
  return sizes.reduce((sum, size) => sum + size, 0);
}
