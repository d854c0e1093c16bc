import { elementCount, type Graph } from '../../formats/tflite/graph.js';
import { hasVectors, type Kernel, type Memory, moduleOf, webAssembly } from './assembler.js';

/** Compiled code reads and writes up to this many bytes beyond any range, because it processes four numbers at a time. */
const slackBytes = 64;

const pageBytes = 65_536;

/** The memory that one network's compiled operators share, and the functions compiled so far. */
export class Compiler {
  private end = 16;
  private readonly kernels: Kernel[] = [];
  private readonly onSeal: ((exports: Record<string, () => void>) => void)[] = [];

  private constructor(private readonly memory: Memory) {}

  /** Undefined if WebAssembly does not support vectors here, or if the process has no address space left for the memory. */
  static open(graph: Graph): Compiler | undefined {
    if (!hasVectors()) return undefined;
    try {
      return new Compiler(new webAssembly.Memory({ initial: Math.ceil(bytesFor(graph) / pageBytes) }));
    } catch (error) {
      if (error instanceof RangeError) return undefined;
      throw error;
    }
  }

  /** Whether a compiled operator can still reserve ranges with a total of this many numbers. */
  hasRoom(...lengths: number[]): boolean {
    const bytes = lengths.reduce((sum, length) => sum + paddedBytes(length), this.end);
    return bytes + slackBytes <= this.memory.buffer.byteLength;
  }

  /** Reserves a range of zeros, whose address is its `byteOffset`. */
  floats(length: number): Float32Array {
    const at = this.end;
    this.end += paddedBytes(length);
    return new Float32Array(this.memory.buffer, at, length);
  }

  /** Reserves a range of int8 zeros. */
  bytes(length: number): Int8Array {
    const { buffer, byteOffset } = this.floats(Math.ceil(length / 4));
    return new Int8Array(buffer, byteOffset, length);
  }

  /** Reserves a range of int16 zeros. */
  shorts(length: number): Int16Array {
    const { buffer, byteOffset } = this.floats(Math.ceil(length / 2));
    return new Int16Array(buffer, byteOffset, length);
  }

  /** Reserves a range for addresses and other int32. */
  addresses(length: number): Int32Array {
    const { buffer, byteOffset } = this.floats(length);
    return new Int32Array(buffer, byteOffset, length);
  }

  /** Address of a tensor's values, or of a copy of them if they are elsewhere. */
  addressOf(values: Float32Array | Int8Array): number {
    if (values.buffer === this.memory.buffer) return values.byteOffset;
    const copy = values instanceof Int8Array ? this.bytes(values.length) : this.floats(values.length);
    copy.set(values);
    return copy.byteOffset;
  }

  /** Adds a function without parameters. The result calls it, and can be called once the compiler is sealed. */
  add(kernel: Kernel): () => void {
    let run = () => {};
    this.kernels.push(kernel);
    this.onSeal.push((exports) => {
      run = exports[kernel.name]!;
    });
    return () => run();
  }

  /** Compiles all functions. */
  seal(): void {
    if (this.kernels.length === 0) return;
    const module = new webAssembly.Module(moduleOf(this.kernels));
    const { exports } = new webAssembly.Instance(module, { env: { memory: this.memory } });
    for (const assign of this.onSeal) assign(exports as Record<string, () => void>);
  }
}

function paddedBytes(length: number): number {
  return (length * 4 + slackBytes + 15) & ~15;
}

/**
 * Room for all float tensors, for weights rearranged in groups of four, and for images with a border. The system provides memory only when
 * it is used, so a generous size costs nothing.
 */
function bytesFor({ tensors, operators }: Graph): number {
  const sizeOf = (index: number | undefined) => elementCount(tensors[index ?? -1]?.shape ?? [0]);
  const all = tensors.reduce((sum, { shape }) => sum + paddedBytes(elementCount(shape)), 0);
  const weights = operators.reduce((sum, { inputs }) => sum + 4 * 8 * (sizeOf(inputs[1]) + 64), 0);
  const images = operators.reduce(
    (sum, { op, inputs }) => sum + (windowed.has(op) ? 8 * sizeOf(inputs[0]) : 0),
    0,
  );
  return all + weights + images + pageBytes;
}

const windowed: ReadonlySet<string> = new Set([
  'CONV_2D',
  'DEPTHWISE_CONV_2D',
  'AVERAGE_POOL_2D',
  'MAX_POOL_2D',
]);
