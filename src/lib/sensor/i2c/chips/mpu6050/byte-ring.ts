/** A FIFO of bytes that loses its oldest, byte by byte, and repeats its last when it is empty. */
export class ByteRing {
  readonly #bytes: Uint8Array;
  #from = 0;
  #length = 0;
  #last = 0;
  overflowed = false;

  constructor(private readonly capacity: number) {
    this.#bytes = new Uint8Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  clear(): void {
    this.#from = 0;
    this.#length = 0;
    this.overflowed = false;
  }

  put(byte: number): void {
    if (this.#length === this.capacity) {
      this.#from = (this.#from + 1) % this.capacity;
      this.#length--;
      this.overflowed = true;
    }
    this.#bytes[(this.#from + this.#length) % this.capacity] = byte;
    this.#length++;
  }

  take(): number {
    if (this.#length === 0) return this.#last;
    this.#last = this.#bytes[this.#from]!;
    this.#from = (this.#from + 1) % this.capacity;
    this.#length--;
    return this.#last;
  }
}
