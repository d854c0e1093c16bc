import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { ImprovReader } from '../../src/lib/formats/improv.js';
import type { BoardPort } from './port.js';

/** Number of characters at the end of the log that the page keeps. */
const keptCharacters = 100_000;

/** Escape sequences that color the log of ESP-IDF and other control characters. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these characters are removed
const control = /\u001b\[[0-9;]*[A-Za-z]|[\u0000-\u0008\u000b-\u001f\u007f]/g;

/** The serial monitor: the output of the board's program, without Improv packets. */
export function BoardLog({ board, busy }: { board: BoardPort | null; busy: boolean }) {
  const text = useSignal('');
  const shown = useRef<HTMLElement>(null);
  useEffect(() => {
    if (!board) return;
    const reader = new ImprovReader();
    const decoder = new TextDecoder();
    return board.listen({
      data: (bytes) => {
        const added = decoder.decode(reader.push(bytes).text, { stream: true });
        // Line feeds surround each Improv packet, and would leave empty lines.
        const compact = (text.value + added.replaceAll(control, '')).replaceAll(/\n{2,}/g, '\n');
        text.value = compact.slice(-keptCharacters);
      },
      closed: () => undefined,
    });
  }, [board]);
  useEffect(() => {
    const { current } = shown;
    const isAtEnd =
      current && current.scrollHeight - current.scrollTop - current.clientHeight < current.clientHeight;
    if (isAtEnd) current.scrollTop = current.scrollHeight;
  }, [text.value]);
  return (
    <section class="section">
      <h2 id="board-log">Log</h2>
      <p class="board-actions">
        <button
          type="button"
          disabled={!board || busy}
          onClick={() => void board?.restart().catch(() => undefined)}
        >
          Restart the board
        </button>
        <button
          type="button"
          disabled={text.value === ''}
          onClick={() => {
            text.value = '';
          }}
        >
          Clear the log
        </button>
      </p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: scrollable content must be reachable by keyboard */}
      <section ref={shown} class="board-log" tabIndex={0} aria-labelledby="board-log">
        <pre>{text.value === '' ? 'No output yet' : text.value}</pre>
      </section>
    </section>
  );
}
