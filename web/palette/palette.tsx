import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { DeviceInfo } from '../../src/lib/api/index.js';
import { at } from '../app/api.js';
import { useResource } from '../app/resource.js';
import { goTo, linkTo } from '../app/route.js';
import { Dialog } from '../parts/dialog.js';
import {
  deviceEntries,
  type Entry,
  fixedEntries,
  found,
  type Group,
  isVerb,
  modelEntries,
  mostShown,
  rolloutEntries,
  selectorFor,
  wordsOf,
} from './entries.js';

/** Delay between the last key and the search for devices, ms. */
const settleMs = 120;
/** Number of devices read, of which the best matches are shown. */
const mostDevices = 50;
/** Number of rollouts searched, the newest. */
const mostRollouts = 200;

/** The command palette: finds devices, rollouts, models, pages and actions. It can be used by keyboard alone. */
export function Palette({ onClose }: { onClose: () => void }) {
  const text = useSignal('');
  const chosen = useSignal<string | undefined>(undefined);
  /** Whether Enter was pressed before the devices had arrived. */
  const waiting = useSignal(false);
  const list = useRef<HTMLDivElement>(null);
  const { entries, pending } = useEntries(text.value);
  const active = entries.find(({ key }) => key === chosen.value) ?? entries[0];

  const open = ({ to }: Entry) => {
    onClose();
    if (typeof to === 'function') return to();
    goTo(to);
    // The dialog returns the focus to where it was, which the new page may no longer have.
    setTimeout(() => document.getElementById('main')?.focus());
  };
  const enter = () => {
    if (active) open(active);
    else waiting.value = pending;
  };
  useEffect(() => {
    if (waiting.value && !pending) enter();
  }, [pending]);
  useEffect(() => {
    list.current?.querySelector('[aria-selected=true]')?.scrollIntoView({ block: 'nearest' });
  }, [active?.key]);

  const press = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === 'Enter') enter();
    else if (step !== undefined && entries.length > 0) {
      const from = active ? entries.indexOf(active) : 0;
      chosen.value = entries[(from + step + entries.length) % entries.length]?.key;
    } else return;
    event.preventDefault();
  };
  return (
    <Dialog title="Search" look="palette" onClose={onClose}>
      <div class="field-row">
        <input
          type="text"
          role="combobox"
          autofocus
          autocomplete="off"
          autocapitalize="off"
          spellcheck={false}
          placeholder="Devices, rollouts, models, pages, actions"
          aria-label="Search devices, rollouts, models, pages and actions"
          aria-expanded={entries.length > 0}
          aria-controls="palette-list"
          aria-autocomplete="list"
          aria-activedescendant={active ? idOf(entries, active) : undefined}
          value={text.value}
          onKeyDown={press}
          onInput={({ currentTarget }) => {
            text.value = currentTarget.value;
            chosen.value = undefined;
            waiting.value = false;
          }}
        />
        <button type="button" class="quiet" onClick={onClose}>
          Close
        </button>
      </div>
      <div id="palette-list" role="listbox" aria-label="Results" ref={list} hidden={entries.length === 0}>
        {groupsIn(entries).map((group) => (
          // biome-ignore lint/a11y/useSemanticElements: a fieldset may not be in a listbox
          <div key={group} role="group" aria-label={group}>
            <p class="group" aria-hidden="true">
              {group}
            </p>
            {entries
              .filter((entry) => entry.group === group)
              .map((entry) => (
                // biome-ignore lint/a11y/useFocusableInteractive: the focus stays in the field, which names the active option
                // biome-ignore lint/a11y/useKeyWithClickEvents: keys are handled in the field
                <div
                  key={entry.key}
                  id={idOf(entries, entry)}
                  role="option"
                  aria-selected={entry === active}
                  onClick={() => open(entry)}
                >
                  <span>{entry.title}</span>
                  {entry.detail && <span class="soft">{entry.detail}</span>}
                </div>
              ))}
          </div>
        ))}
      </div>
      <p class="soft" role="status">
        {pending ? 'Searching …' : entries.length === 0 ? 'No matches' : resultsText(entries.length)}
      </p>
    </Dialog>
  );
}

function resultsText(count: number): string {
  return `${count} ${count === 1 ? 'result' : 'results'}. Use the arrow keys to choose, and Enter to open.`;
}

function idOf(entries: readonly Entry[], entry: Entry): string {
  return `palette-${entries.indexOf(entry)}`;
}

function groupsIn(entries: readonly Entry[]): Group[] {
  return [...new Set(entries.map(({ group }) => group))];
}

/** The entries that match a text. `pending`: devices are still being searched. */
function useEntries(text: string): { entries: readonly Entry[]; pending: boolean } {
  const { devices, more, pending } = useDevices(text);
  const { value: models = [] } = useResource(at('GET /models', {}), { all: 'models' });
  const { value: list } = useResource(at('GET /rollouts', {}, { limit: mostRollouts }));
  const word = wordsOf(text).find((each) => each.includes('@'));
  const named = models.find(({ name }) => word?.startsWith(`${name.toLowerCase()}@`));
  const { value: versions } = useResource(
    named ? at('GET /models/:name', { name: named.name }, { limit: mostRollouts }) : null,
  );
  // Otherwise, the actions of many devices would hide the devices.
  const hasVerb = wordsOf(text).some(isVerb);
  const all = [
    ...fixedEntries(),
    ...devices.flatMap((device) => deviceEntries(device, hasVerb || devices.length === 1)),
    ...models.flatMap((model) => modelEntries(model, model === named ? (versions?.versions ?? []) : [])),
    ...(list?.rollouts ?? []).flatMap((rollout) => rolloutEntries(rollout, hasVerb)),
  ];
  const entries = found(all, text);
  const selector = /[=<>~]/.test(text) ? text.trim() : more ? selectorFor(text) : null;
  if (selector === null) return { entries, pending };
  const title = /[=<>~]/.test(text) ? 'Devices with this selector' : 'All devices with this name';
  const listed: Entry = { key: 'selector', group: 'Devices', title, to: linkTo(['devices'], { selector }) };
  const last = entries.findLastIndex(({ group }) => group === 'Devices');
  const position = last < 0 ? entries.length : last + 1;
  return { entries: entries.toSpliced(position, 0, listed), pending };
}

/** Devices whose names contain the words of a text. The platform searches them, because a fleet can be large. */
function useDevices(text: string): { devices: readonly DeviceInfo[]; more: boolean; pending: boolean } {
  const settled = useSignal(text);
  useEffect(() => {
    const timer = setTimeout(() => {
      settled.value = text;
    }, settleMs);
    return () => clearTimeout(timer);
  }, [text]);
  const selector = selectorFor(settled.value);
  const place = selector === null ? null : at('GET /devices', {}, { selector, limit: mostDevices });
  const { value, error } = useResource(place);
  // The devices of the previous text stay until those of the new one arrive, so that the list does not flicker.
  const before = useRef<readonly DeviceInfo[]>([]);
  if (value) before.current = value.devices;
  const devices = selector === null ? [] : before.current;
  const isLate = selector !== null && !value && !error;
  return {
    devices,
    more: !!value && (value.next !== null || value.devices.length > mostShown),
    pending: selectorFor(text) !== selector || isLate,
  };
}
