import type { Clock } from '../../core/index.js';
import type { ChipIdentity } from './identity.js';
import type { NorFlash } from './nor.js';
import { type ChipProgram, romBoot } from './program.js';

interface RunningOptions {
  identity: ChipIdentity;
  flash: NorFlash;
  clock: Clock;
  program: ChipProgram;
  print(text: string): void;
  restart(): void;
}

/** The program that a chip runs, from the ROM's first look at the flash until a reset. */
export class Running {
  private readonly abort = new AbortController();
  private listener: ((bytes: Uint8Array) => void) | null = null;

  constructor({ identity, flash, clock, program, print, restart }: RunningOptions) {
    const { signal } = this.abort;
    const whileItRuns = (action: () => void) => {
      if (!signal.aborted) action();
    };
    romBoot(program)({
      identity,
      flash,
      signal,
      print: (text) => whileItRuns(() => print(text)),
      sleep: async (ms) => {
        await clock.sleep(ms, signal);
        signal.throwIfAborted();
      },
      onInput: (listener) => {
        this.listener = listener;
      },
      restart: () => whileItRuns(restart),
    }).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  }

  input(bytes: Uint8Array): void {
    this.listener?.(bytes);
  }

  stop(): void {
    this.abort.abort();
  }
}
