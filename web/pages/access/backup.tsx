import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { SealedEntry } from '../../../src/lib/api/index.js';
import { type ApiError, at, download } from '../../app/api.js';
import { useResource } from '../../app/resource.js';
import { linkTo } from '../../app/route.js';
import { saveFile } from '../../app/save.js';
import { isLimited, mayChange } from '../../app/session.js';
import { size } from '../../app/text.js';
import { Command } from '../../parts/command.js';
import { Failure, Loading, Page, Section } from '../../parts/page.js';
import { Scroll } from '../../parts/scroll.js';
import { type Column, ShortTable } from '../../parts/table.js';
import { When } from '../../parts/when.js';

/** Minimum length of a passphrase, which the platform checks (src/lib/api/contract/platform.ts). */
const shortest = 12;
/** Maximum size of a backup that the browser holds until it is complete, bytes. */
const mostBytes = 2 * 1024 ** 3;
const listed = 20;

/** The page `#/access/backup`: makes a backup and saves it, lists the earlier ones, and explains how to restore one. */
export function Backup() {
  return (
    <Page
      title="Backup"
      above={{ title: 'Access', to: linkTo(['access']) }}
      command="aiot backup create platform.tar"
    >
      {mayChange() && !isLimited() ? <Create /> : <p>Only operators of the whole platform can back it up.</p>}
      <Section title="Restore">
        <p>
          You need the file, its passphrase, and an empty data folder. Stop this platform first: both would
          have the same CA. Check the file before you need it:
        </p>
        <div class="choices start">
          <Command line="aiot backup restore platform.tar --check" label="Check" />
          <Command line="aiot backup restore platform.tar --data ./platform" label="Restore" />
        </div>
      </Section>
      {!isLimited() && <Earlier />}
    </Page>
  );
}

function Create() {
  const passphrase = useSignal('');
  const again = useSignal('');
  const received = useSignal<number | null>(null);
  const saved = useSignal<{ name: string; bytes: number } | null>(null);
  const error = useSignal<ApiError | undefined>(undefined);
  const running = useRef<AbortController | null>(null);
  useEffect(() => () => running.current?.abort(), []);
  const differs = again.value !== '' && again.value !== passphrase.value;
  const submit = async (event: Event) => {
    event.preventDefault();
    if (again.value !== passphrase.value || running.current) return;
    const controller = new AbortController();
    running.current = controller;
    received.value = 0;
    saved.value = null;
    error.value = undefined;
    const { signal } = controller;
    const onBytes = (bytes: number) => {
      received.value = bytes;
    };
    await download(
      at('POST /backups', {}),
      { passphrase: passphrase.value },
      { signal, onBytes, mostBytes },
    ).then(
      (content) => {
        const name = `platform-${new Date().toISOString().slice(0, 16).replaceAll(':', '')}.tar`;
        saveFile(name, content);
        saved.value = { name, bytes: content.size };
        passphrase.value = '';
        again.value = '';
      },
      (reason: ApiError) => {
        if (!signal.aborted) error.value = reason;
      },
    );
    running.current = null;
    received.value = null;
  };
  const isRunning = received.value !== null;
  return (
    <form onSubmit={submit}>
      <p>
        A backup is one file with everything that the platform has acknowledged. The passphrase encrypts the
        CA's key, tokens and secrets. Without it, the file cannot be restored, and the platform does not store
        it.
      </p>
      <fieldset class="form" disabled={isRunning}>
        <Secret
          id="backup-passphrase"
          label="Passphrase"
          value={passphrase}
          note={`At least ${shortest} characters.`}
        />
        <Secret
          id="backup-again"
          label="Repeat the passphrase"
          value={again}
          error={differs ? 'The passphrases differ.' : undefined}
        />
      </fieldset>
      {error.value && <Failure error={error.value} />}
      <p role="status">
        {isRunning && `Received ${size(received.value ?? 0)} …`}
        {saved.value &&
          `Saved ${saved.value.name} (${size(saved.value.bytes)}). Keep the passphrase in another place than the file.`}
      </p>
      <div class="choices">
        {isRunning && (
          <button type="button" onClick={() => running.current?.abort()}>
            Stop
          </button>
        )}
        <button type="submit" class="primary" disabled={isRunning || differs}>
          Back up
        </button>
      </div>
    </form>
  );
}

function Secret({
  id,
  label,
  value,
  note,
  error,
}: {
  id: string;
  label: string;
  value: { value: string };
  note?: string;
  error?: string | undefined;
}) {
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        type="password"
        autocomplete="new-password"
        required
        minLength={shortest}
        value={value.value}
        aria-invalid={error ? true : undefined}
        aria-describedby={`${id}-note`}
        onInput={({ currentTarget }) => {
          value.value = currentTarget.value;
        }}
      />
      <small id={`${id}-note`} class={error ? 'field-error' : 'soft'}>
        {error ?? note}
      </small>
    </div>
  );
}

const columns: Column<SealedEntry>[] = [
  { title: 'time', cell: ({ at }) => <When at={at} />, sort: ({ at }) => at },
  { title: 'user', cell: ({ who }) => who, sort: ({ who }) => who },
];

/** Backups that were started. The platform does not keep their files. */
function Earlier() {
  const query = { newest: 'true', limit: listed, type: 'backup.create' };
  const { value, error } = useResource(at('GET /audit/log', {}, query), { events: ['backup.*'] });
  return (
    <Section title="Earlier backups" note="the platform does not keep the files">
      {error && <Failure error={error} />}
      {!value && !error && <Loading />}
      {value?.entries.length === 0 && <p class="soft">No backup has been made yet.</p>}
      {value && value.entries.length > 0 && (
        <Scroll label="Earlier backups">
          <ShortTable
            rows={[...value.entries].reverse()}
            columns={columns}
            keyOf={({ at, who }) => `${at} ${who}`}
            label="Earlier backups"
            name="backups"
          />
        </Scroll>
      )}
    </Section>
  );
}
