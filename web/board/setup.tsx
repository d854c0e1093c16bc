import { useSignal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useEffect } from 'preact/hooks';
import { Fault } from './fault.js';
import { type BoardFault, faultOf, unplugged, unsupported } from './faults.js';
import { type FoundChip, type Part, type ReadFlash, type WriteSteps, writeBoard } from './flash.js';
import { BoardLog } from './log.js';
import { type BoardPort, choosePort } from './port.js';
import { BoardWifi } from './wifi.js';

/** Firmware that can be installed. */
export interface Release {
  name: string;
  version: string;
  /** Chips that it supports, such as `ESP32-S3`. */
  families: readonly string[];
  /** Whether to offer to erase the whole flash. */
  offersErase: boolean;
  /** How long to wait for Improv after an installation, ms; 0 = Wi-Fi is not offered then. */
  improvWaitMs: number;
  /** The parts for a chip. @throws BoardFault */
  parts: (chip: FoundChip, read: ReadFlash) => Promise<readonly Part[]>;
}

const stages: Record<Parameters<WriteSteps['progress']>[0], string> = {
  connecting: 'Connecting to the chip …',
  preparing: 'Preparing the firmware …',
  erasing: 'Erasing the flash, which may take a minute …',
  writing: 'Writing the firmware. Do not unplug the board.',
};

/** Connects a board over Web Serial, installs firmware on it, connects it to Wi-Fi, and shows its log. */
export function BoardSetup({
  release,
  ready = true,
  children,
  onInstalled,
  onFailed,
}: {
  release: Release;
  /** Whether everything is chosen that an installation needs. */
  ready?: boolean;
  /** Choices above the button that installs. */
  children?: ComponentChildren;
  onInstalled?: (chip: FoundChip) => void;
  /** Called when an installation has failed. */
  onFailed?: () => void;
}) {
  const board = useSignal<BoardPort | null>(null);
  const fault = useSignal<BoardFault | null>(unsupported());
  const stage = useSignal('');
  const share = useSignal<number | null>(null);
  const busy = useSignal(false);
  const erase = useSignal(false);
  const waitMs = useSignal<number | null>(null);
  useEffect(() => () => void board.value?.close(), []);

  /** Runs one step. While it runs, no other one can be started. */
  const step = async (work: () => Promise<void>) => {
    fault.value = null;
    busy.value = true;
    await work().catch((error: unknown) => {
      fault.value = faultOf(error);
      stage.value = '';
      if (board.value?.lost.aborted) board.value = null;
    });
    share.value = null;
    busy.value = false;
  };
  const connect = () =>
    step(async () => {
      const chosen = await choosePort();
      await board.value?.close();
      await chosen.open();
      chosen.lost.addEventListener('abort', () => {
        if (board.value !== chosen) return;
        waitMs.value = null;
        if (busy.value) return;
        board.value = null;
        stage.value = '';
        fault.value = unplugged();
      });
      board.value = chosen;
      waitMs.value = null;
      stage.value = `Connected${chosen.usb === '' ? '' : ` to ${chosen.usb}`}.`;
    });
  const install = () =>
    step(async () => {
      const port = board.value;
      if (!port) return;
      waitMs.value = null;
      const found = await writeBoard(port, {
        families: release.families,
        erase: erase.value,
        parts: release.parts,
        progress: (now, done) => {
          stage.value = stages[now];
          share.value = done;
        },
      }).catch((error: unknown) => {
        onFailed?.();
        throw error;
      });
      stage.value = `${release.name} ${release.version} is installed on the ${found.family} ${found.mac}.`;
      if (release.improvWaitMs > 0) waitMs.value = release.improvWaitMs;
      onInstalled?.(found);
    });
  const isUsable = board.value !== null && !busy.value;
  return (
    <>
      <section class="section">
        <h2>Connect the board</h2>
        <p>
          Connect the board to this computer with a USB cable, and close other programs that use its port.
        </p>
        <p>
          <button
            type="button"
            class={board.value ? '' : 'primary'}
            disabled={busy.value || unsupported() !== null}
            onClick={connect}
          >
            {board.value ? 'Connect another board' : 'Connect the board'}
          </button>
        </p>
      </section>
      <Fault fault={fault.value} />
      <p role="status" class="stage">
        {stage.value}
      </p>
      <section class="section">
        <h2>Install the firmware</h2>
        {children}
        {release.offersErase && (
          <p>
            <label>
              <input
                type="checkbox"
                checked={erase.value}
                disabled={busy.value}
                onChange={({ currentTarget }) => {
                  erase.value = currentTarget.checked;
                }}
              />{' '}
              Erase the whole board first, including its Wi-Fi settings
            </label>
          </p>
        )}
        <p>
          <button type="button" class="primary" disabled={!isUsable || !ready} onClick={install}>
            Install {release.name} {release.version}
          </button>
        </p>
        {share.value !== null && (
          <progress class="share" max={1} value={share.value} aria-label="Written">
            {Math.round(100 * share.value)} %
          </progress>
        )}
      </section>
      <BoardWifi board={board.value} busy={busy.value} waitMs={waitMs.value} />
      <BoardLog board={board.value} busy={busy.value} />
    </>
  );
}
