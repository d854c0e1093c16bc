import { useSignal } from '@preact/signals';
import { useRef } from 'preact/hooks';
import type { FirmwareVersion } from '../../../src/lib/api/index.js';
import { espChips } from '../../../src/lib/formats/esp-image/chips.js';
import { at, send } from '../../app/api.js';
import { useResource } from '../../app/resource.js';
import { linkTo } from '../../app/route.js';
import { isLimited, mayChange } from '../../app/session.js';
import { BoardSetup, type Release } from '../../board/setup.js';
import { Empty, Failure, Loading, Page, Section } from '../../parts/page.js';
import { Arrival } from './arrival.js';
import { type NewBoard, partsFor } from './parts.js';

/** Adds a board: writes the platform's firmware and a new identity to it, connects it to Wi-Fi, and waits until it is online. */
export function AddBoard() {
  const firmware = useResource(at('GET /firmware', {}), { all: 'firmware', events: ['firmware.*'] });
  // Limited users cannot register devices.
  const mayAdd = mayChange() && !isLimited();
  const boards = firmware.value?.flatMap(({ latest }) => (latest.chip === null ? [] : [latest]));
  return (
    <Page
      title="Add a board"
      above={{ title: 'Devices', to: linkTo(['devices']) }}
      command="aiot flash --project ./firmware --device ./bench-1"
    >
      {firmware.error && <Failure error={firmware.error} />}
      {!boards && !firmware.error && <Loading />}
      {boards && !mayAdd && <p>Only operators of the whole platform can add boards.</p>}
      {boards?.length === 0 && mayAdd && (
        <Empty title="No firmware for boards yet" command="aiot firmware push app.bin --name motor">
          <p>Build the firmware, and push its application image:</p>
        </Empty>
      )}
      {boards && boards.length > 0 && mayAdd && <NewDevice boards={boards} />}
    </Page>
  );
}

function NewDevice({ boards }: { boards: readonly FirmwareVersion[] }) {
  const name = useSignal('');
  const digest = useSignal(boards[0]?.digest ?? '');
  const type = useSignal<string | null>(null);
  const replaces = useSignal(false);
  const bootloader = useSignal<File | null>(null);
  /** The device that this page has registered, and whether its board is complete. */
  const made = useSignal<{ name: string; complete: boolean } | null>(null);
  const card = boards.find((each) => each.digest === digest.value) ?? (boards[0] as FirmwareVersion);
  const wanted = useRef<NewBoard>(null as never);
  wanted.current = {
    card,
    name: name.value.trim(),
    type: (type.value ?? card.deviceTypes[0] ?? card.chip ?? '').trim(),
    bootloader: bootloader.value,
    replaces: replaces.value,
  };
  const release: Release = {
    name: card.name,
    version: String(card.version),
    families: card.chip === null ? [] : [espChips[card.chip].title],
    offersErase: true,
    improvWaitMs: 10_000,
    parts: (chip, read) =>
      partsFor(wanted.current, chip, read, (device) => {
        made.value = { name: device, complete: false };
      }),
  };
  /** Without its board, the registration is useless, and its name would stay taken. */
  const giveUp = async () => {
    const device = made.value;
    if (!device || device.complete) return;
    made.value = null;
    await send(at('POST /devices/:name/state', { name: device.name }), { action: 'revoke' }).catch(() => {});
  };
  return (
    <>
      <BoardSetup
        release={release}
        ready={wanted.current.name !== '' && wanted.current.type !== ''}
        onInstalled={() => {
          if (made.value) made.value = { ...made.value, complete: true };
        }}
        onFailed={() => void giveUp()}
      >
        <div class="board-choices">
          <label for="board-firmware">Firmware</label>
          <select
            id="board-firmware"
            value={card.digest}
            onChange={({ currentTarget }) => {
              digest.value = currentTarget.value;
            }}
          >
            {boards.map((each) => (
              <option key={each.digest} value={each.digest}>
                {each.name}@{each.version} for {each.chip === null ? 'computers' : espChips[each.chip].title}
              </option>
            ))}
          </select>
          <label for="board-name">Name of the device</label>
          <input
            id="board-name"
            required
            maxLength={64}
            pattern="[A-Za-z0-9][A-Za-z0-9._\-]*"
            autocomplete="off"
            spellcheck={false}
            value={name.value}
            onInput={({ currentTarget }) => {
              name.value = currentTarget.value;
            }}
          />
          <label for="board-type">Device type</label>
          <input
            id="board-type"
            required
            maxLength={64}
            autocomplete="off"
            spellcheck={false}
            value={wanted.current.type}
            onInput={({ currentTarget }) => {
              type.value = currentTarget.value;
            }}
          />
          <label for="board-bootloader">Bootloader</label>
          <input
            id="board-bootloader"
            type="file"
            accept=".bin"
            aria-describedby="board-bootloader-note"
            onChange={({ currentTarget }) => {
              bootloader.value = currentTarget.files?.[0] ?? null;
            }}
          />
          <small id="board-bootloader-note" class="soft">
            bootloader.bin of the build. You can omit it if the board already has a bootloader.
          </small>
          <label class="check">
            <input
              type="checkbox"
              checked={replaces.value}
              onChange={({ currentTarget }) => {
                replaces.value = currentTarget.checked;
              }}
            />{' '}
            Replace an identity that is on the board
          </label>
        </div>
      </BoardSetup>
      {made.value?.complete && (
        <Section title="The device">
          <Arrival name={made.value.name}>
            <p class="soft">
              It connects once it has joined Wi-Fi. Boards can reach only a platform that listens on the
              network, as after <code>aiot up --host 0.0.0.0</code>.
            </p>
          </Arrival>
        </Section>
      )}
    </>
  );
}
