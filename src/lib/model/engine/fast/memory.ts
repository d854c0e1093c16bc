import { type Memory, webAssembly } from '../../../runtime/compiled/assembler.js';

/** A contiguous range of float32 numbers in the kernels' memory. Its address and view are available once the arena is sealed. */
export class Floats {
  /** Address in bytes. */
  at = 0;
  data: Float32Array = new Float32Array(0);
  constructor(readonly length: number) {}
}

/** Kernels may read and write up to this many bytes beyond any range, because they process four numbers at a time. */
const slackBytes = 64;

const pageBytes = 65_536;

/** Plans one network's memory: first all ranges are requested, then the arena is sealed, which creates the memory. */
export class Arena {
  private readonly plain: Floats[] = [];
  private readonly zeroed: Floats[] = [];
  private readonly scratches = new Map<string, Floats>();
  /** Cleared at the beginning of each step. */
  gradients: Float32Array = new Float32Array(0);

  floats(length: number): Floats {
    const floats = new Floats(length);
    this.plain.push(floats);
    return floats;
  }

  /** Numbers that are set to 0 at the beginning of each step. */
  gradient(length: number): Floats {
    const floats = new Floats(length);
    this.zeroed.push(floats);
    return floats;
  }

  /** Scratch memory shared by all users of one name. Another user overwrites its values. */
  scratch(name: string, length: number): () => Floats {
    const known = this.scratches.get(name);
    if (!known || known.length < length) this.scratches.set(name, new Floats(length));
    return () => this.scratches.get(name)!;
  }

  seal(): Memory {
    let at = 16;
    const place = (floats: Floats) => {
      floats.at = at;
      at = (at + floats.length * 4 + slackBytes + 15) & ~15;
    };
    for (const floats of [...this.plain, ...this.scratches.values()]) place(floats);
    const from = at;
    for (const floats of this.zeroed) place(floats);
    const memory = new webAssembly.Memory({ initial: Math.ceil((at + slackBytes) / pageBytes) });
    for (const floats of [...this.plain, ...this.scratches.values(), ...this.zeroed])
      floats.data = new Float32Array(memory.buffer, floats.at, floats.length);
    this.gradients = new Float32Array(memory.buffer, from, (at - from) / 4);
    return memory;
  }
}
