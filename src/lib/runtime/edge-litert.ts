import { AiotError, systemCode } from '../core/errors.js';
import { runProgramNow } from '../core/process.js';
import type { Graph } from '../formats/tflite/graph.js';
import { writeTflite } from '../formats/tflite/write.js';
import { floatView } from './litert.js';

/** Rows are run in the Python package `ai-edge-litert`, which the user has installed. It is native code, so it is faster than WebAssembly. */

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
  python = process.env.AIOT_PYTHON || 'python3',
): (inputs: Float32Array, rows: number) => Float32Array {
  const file = writeTflite(floatView(graph));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(file.length);
  return (inputs, rows) => {
    const bytes = Buffer.from(inputs.buffer, inputs.byteOffset, inputs.byteLength);
    const { code, stdout, stderr, error } = runProgramNow(python, ['-c', program], {
      input: Buffer.concat([length, file, bytes]),
      mostOutput: 4 * rows * outputs + messageBytes,
      timeoutMs,
    });
    if (systemCode(error) === 'ENOENT') throw missing(`the program ${python} does not exist`);
    const last = stderr.trim().split('\n').at(-1);
    if (code === packageMissing) throw missing(`${python}: ${last}`);
    if (error || code !== 0 || stdout.length !== 4 * rows * outputs)
      throw new AiotError(
        'AIOT_LITERT_FAILED',
        `ai-edge-litert could not run the model: ${error?.message ?? (last || `exit code ${code}`)}`,
      );
    return new Float32Array(Uint8Array.from(stdout).buffer);
  };
}

function missing(reason: string): AiotError {
  return new AiotError('AIOT_BACKEND_MISSING', `ai-edge-litert is missing: ${reason}`, {
    next: 'Run `pip install ai-edge-litert`, and set AIOT_PYTHON to that Python. Or omit --runtime.',
  });
}
