/** What keys mean beside being sent on. */
export type KeyAction = 'quit' | 'interrupt' | 'reset' | 'download' | 'help';

const code = (letter: string) => letter.charCodeAt(0);
/** A terminal that gives every key makes no signal of it. */
const ctrlC = 0x03;
/** Ctrl-], as in other monitors. */
const quit = 0x1d;
/** Ctrl-T: the next key is for us. */
const menu = 0x14;
const actions: ReadonlyMap<number, KeyAction> = new Map([
  [code('r'), 'reset'],
  [code('b'), 'download'],
  [code('h'), 'help'],
]);

export const keysHelp =
  'Ctrl-] ends · Ctrl-T r resets the board · Ctrl-T b starts its loader · Ctrl-T twice sends one';

/** Sorts typed bytes into what is sent on and what is meant for the program; keeps a Ctrl-T for the next bytes. */
export class KeyReader {
  private afterMenu = false;

  constructor(private readonly eol: string) {}

  read(bytes: Uint8Array): { send: Uint8Array; actions: KeyAction[] } {
    const send: number[] = [];
    const done: KeyAction[] = [];
    for (const byte of bytes) {
      if (this.afterMenu) {
        this.afterMenu = false;
        // Also with Ctrl held on.
        const action = actions.get(byte < 0x20 ? byte + 0x60 : byte);
        if (byte === menu) send.push(menu);
        else done.push(action ?? 'help');
      } else if (byte === menu) this.afterMenu = true;
      else if (byte === ctrlC) done.push('interrupt');
      else if (byte === quit) done.push('quit');
      else if (byte === 0x0d) send.push(...new TextEncoder().encode(this.eol));
      else send.push(byte);
    }
    return { send: Uint8Array.from(send), actions: done };
  }
}
