import { type Signal, useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { ModelFile, ModelVersion } from '../../../src/lib/api/index.js';
import { ApiError, at, get, send, upload } from '../../app/api.js';
import { linkTo } from '../../app/route.js';
import { mayPush } from '../../app/session.js';
import { shellWord, size } from '../../app/text.js';
import { Badge } from '../../parts/badge.js';
import { Command } from '../../parts/command.js';
import { Facts, Failure, Page, Section } from '../../parts/page.js';
import { When } from '../../parts/when.js';

/** Maximum size of a file, which the platform also checks (src/lib/api/contract/model-files.ts), bytes. */
const mostBytes = 64 * 1024 ** 2;
/** Maximum number of files that are uploaded together. */
const mostFiles = 10;

interface Chosen {
  file: File;
  /** The blob's digest, once the file is uploaded. */
  digest?: string;
  /** Name of the model, for a file without one. */
  name?: string;
  found?: ModelFile;
  error?: ApiError;
  /** The version that the file has become. */
  made?: ModelVersion;
}

/** Replaces a file's entry. If `before` is given, only if that is still the entry. Returns whether it was replaced. */
type Update = (changed: Chosen, before?: Chosen) => boolean;

/** The page `#/upload-model`: uploads model files, shows their signatures, and publishes them or stores them until they are signed. */
export function UploadModel() {
  return (
    <Page
      title="Upload a model"
      above={{ title: 'Models', to: linkTo(['models']) }}
      command="aiot model push model.aiot"
    >
      {mayPush() ? <Files /> : <p>Your token does not permit uploads: its role must be ci or operator.</p>}
    </Page>
  );
}

function Files() {
  const chosen = useSignal<Chosen[]>([]);
  const progress = useSignal('');
  const problem = useSignal<ApiError | undefined>(undefined);
  const running = useRef<AbortController | null>(null);
  useEffect(() => () => running.current?.abort(), []);
  const take = async (files: readonly File[]) => {
    running.current?.abort();
    const controller = new AbortController();
    running.current = controller;
    const { signal } = controller;
    problem.value = undefined;
    progress.value = '';
    chosen.value = [];
    if (files.length > mostFiles) {
      problem.value = new ApiError(
        'AIOT_REQUEST_INVALID',
        `${files.length} files are too many at once; the limit is ${mostFiles}.`,
        'Choose fewer files.',
      );
      return;
    }
    // All files are uploaded first, because a manifest is inspected together with its bundle.
    const sent: Chosen[] = [];
    for (const file of files) {
      progress.value = `Uploading ${file.name} …`;
      sent.push(await uploaded(file, signal));
      if (signal.aborted) return;
    }
    if (sent.length === 0) return;
    progress.value = 'Checking …';
    const inspected: Chosen[] = [];
    for (const one of sent) {
      inspected.push(one.error ? one : await inspect(one, signal));
      if (signal.aborted) return;
    }
    chosen.value = inspected;
    progress.value = '';
  };
  const update: Update = (changed, before) => {
    const there = chosen.value.find((one) => (before ? one === before : one.file === changed.file));
    if (there) chosen.value = chosen.value.map((one) => (one === there ? changed : one));
    return there !== undefined;
  };
  const shown = chosen.value.filter((one) => !belongsToManifest(one, chosen.value));
  return (
    <>
      <p>
        The platform has no signing key. Choose a <code>.aiot</code> file that was signed elsewhere, and check
        it before you publish it. A bundle without a valid signature, or a <code>.tflite</code> file, can be
        stored; it then waits until someone with a key signs it.
      </p>
      <form
        class="drop"
        onSubmit={(event) => event.preventDefault()}
        onDragOver={(event) => event.preventDefault()}
        onDrop={(event) => {
          event.preventDefault();
          void take([...(event.dataTransfer?.files ?? [])]);
        }}
      >
        <label class="stacked">
          Model files
          <input
            type="file"
            multiple
            accept=".aiot,.tflite,.json"
            aria-describedby="upload-note"
            onChange={({ currentTarget }) => {
              void take([...(currentTarget.files ?? [])]);
            }}
          />
        </label>
        <small id="upload-note" class="soft">
          Choose files, or drop them here. If the signatures are in a manifest file (
          <code>.manifest.json</code>
          ), choose it together with its bundle. At most {size(mostBytes)} each.
        </small>
      </form>
      <p role="status">{progress.value}</p>
      {problem.value && <Failure error={problem.value} />}
      {shown.map((one) => (
        <One key={`${one.file.name} ${one.digest}`} one={one} update={update} />
      ))}
    </>
  );
}

/** Whether a file is the bundle of a manifest that publishes it, or has published it. */
function belongsToManifest({ found }: Chosen, all: readonly Chosen[]): boolean {
  return found?.form === 'bundle' && all.some((other) => other.found && publishes(other.found, found.digest));
}

function publishes({ form, publish, existing, release }: ModelFile, digest: string): boolean {
  return (
    form === 'manifest' &&
    (publish !== null || existing !== null) &&
    !!release?.artifacts.some((artifact) => artifact.digest === digest)
  );
}

async function uploaded(file: File, signal: AbortSignal): Promise<Chosen> {
  if (file.size > mostBytes) {
    const error = new ApiError(
      'AIOT_REQUEST_TOO_LARGE',
      `${file.name} has ${size(file.size)}; the limit of this page is ${size(mostBytes)}.`,
      `aiot model push ${shellWord(file.name)}`,
    );
    return { file, error };
  }
  return upload(file, signal).then(
    (digest) => ({ file, digest, ...(/\.tflite$/i.test(file.name) ? { name: nameOf(file.name) } : {}) }),
    (error: ApiError) => ({ file, error }),
  );
}

/** A model's name made from a file's name. */
function nameOf(file: string): string {
  const bare = file.replace(/\.[^.]*$/, '').replace(/[^A-Za-z0-9._-]+/g, '-');
  return bare.replace(/^[^A-Za-z0-9]+|[^A-Za-z0-9]+$/g, '').slice(0, 64) || 'model';
}

const described = ({ file, name }: Chosen) => ({ file: file.name, ...(name ? { name } : {}) });

async function inspect(one: Chosen, signal?: AbortSignal): Promise<Chosen> {
  const { found: _, error: __, ...own } = one;
  const place = at('GET /model-files/:digest', { digest: one.digest ?? '' }, described(one));
  return get(place, signal).then(
    (found) => ({ ...own, found }),
    (error: ApiError) =>
      // A file with any name may contain a .tflite model.
      error.field === 'name' && own.name === undefined
        ? inspect({ ...own, name: nameOf(own.file.name) }, signal)
        : { ...own, error },
  );
}

function One({ one, update }: { one: Chosen; update: Update }) {
  const { file, found, error, made, name } = one;
  const busy = useSignal(false);
  const rename = async (to: string) => {
    const asked: Chosen = { file, ...(one.digest ? { digest: one.digest } : {}), name: to };
    // Until the platform has answered, the file has no buttons, which would use the earlier name.
    update(asked);
    update(await inspect(asked), asked);
  };
  const id = `name-${one.digest?.slice(-8)}`;
  return (
    <Section title="File" note={`${file.name}, ${size(file.size)}`}>
      {name !== undefined && !made && (
        <div class="field">
          <label for={id}>Name of the model</label>
          <input
            id={id}
            value={name}
            maxLength={64}
            disabled={busy.value}
            aria-describedby={`${id}-note`}
            onChange={({ currentTarget }) => void rename(currentTarget.value)}
          />
          <small id={`${id}-note`} class="soft">
            A .tflite file does not contain its name.
          </small>
        </div>
      )}
      {error && <Failure error={error} />}
      {found && <Found found={found} />}
      {!found && !error && <p role="status">Checking …</p>}
      {found && !made && <Actions one={one} found={found} busy={busy} update={update} />}
      {made && <Made made={made} />}
    </Section>
  );
}

function Found({ found }: { found: ModelFile }) {
  const { name, kind, mode, classes, release, signatures } = found;
  return (
    <Facts
      facts={[
        ['model', release ? `${name}@${release.version}` : name],
        [
          'kind',
          [kind === 'network' ? 'network without features, which devices do not run' : kind, mode]
            .filter(Boolean)
            .join(', '),
        ],
        ...(classes.length > 0 ? [['classes', classes.join(', ')] as const] : []),
        ['signatures', <Signers key="signers" release={release} signatures={signatures} />],
        ...(release ? releaseFacts(release) : []),
      ]}
    />
  );
}

type Release = NonNullable<ModelFile['release']>;

function releaseFacts({ deviceTypes, sequence, floor, issued, expires, artifacts }: Release) {
  return [
    ['device types', deviceTypes.join(', ')],
    ['release number', sequence.toLocaleString('en')],
    [
      'floor',
      floor === 0 ? 'none' : `devices then reject release numbers below ${floor.toLocaleString('en')}`,
    ],
    ['signed', <When key="issued" at={issued} />],
    [
      'expires',
      expires === null ? (
        'never'
      ) : (
        <span key="expires">
          <When at={expires} /> {expires <= Date.now() && <Badge tone="bad">expired</Badge>}
        </span>
      ),
    ],
    [
      'bundle',
      artifacts.map(({ digest, bytes, blob }) => (
        <span key={digest}>
          {size(bytes)}, <code>{digest}</code>{' '}
          {blob !== 'right' && <Badge tone="bad">{blob === 'missing' ? 'not uploaded' : 'wrong size'}</Badge>}
        </span>
      )),
    ],
  ] as const;
}

function Signers({ release, signatures }: Pick<ModelFile, 'release' | 'signatures'>) {
  if (!release) return <Badge tone="warn">not signed</Badge>;
  const { valid, required } = signatures;
  return (
    <>
      <Badge tone={valid >= required && required > 0 ? 'good' : 'bad'}>
        {valid} of {required} required
      </Badge>
      <ul class="plain">
        {release.signers.map(({ keyid, counts }) => (
          <li key={keyid}>
            <code title={keyid}>{keyid.slice(0, 16)}</code>{' '}
            <Badge tone={counts ? 'good' : 'bad'}>{counts ? 'valid' : 'not valid, or an unknown key'}</Badge>
          </li>
        ))}
      </ul>
    </>
  );
}

function Actions({
  one,
  found: { name, publish, store, existing, problem, release },
  busy,
  update,
}: {
  one: Chosen;
  found: ModelFile;
  busy: Signal<boolean>;
  update: Update;
}) {
  const failed = useSignal<ApiError | undefined>(undefined);
  const run = (action: 'publish' | 'store') => act(one, action, { failed, busy, update });
  return (
    <>
      {problem && <Failure error={new ApiError(problem.code, problem.message, problem.next)} />}
      {failed.value && <Failure error={failed.value} />}
      {existing !== null && !publish && (
        <p class="uploaded">
          This {release && !problem ? 'release' : 'model'} is already{' '}
          <a href={linkTo(['models', name, existing])}>
            {name}@{existing}
          </a>
          .
        </p>
      )}
      <div class="choices start">
        {publish && (
          <button type="button" class="primary" disabled={busy.value} onClick={() => run('publish')}>
            {publish.adds === 'version' ? 'Publish' : 'Add the signatures to'} {name}@{publish.version}
          </button>
        )}
        {store && !publish && (
          <button type="button" disabled={busy.value} onClick={() => run('store')}>
            Store as {name}@{store.version}, to be signed
          </button>
        )}
      </div>
    </>
  );
}

async function act(
  one: Chosen,
  action: 'publish' | 'store',
  { failed, busy, update }: { failed: Signal<ApiError | undefined>; busy: Signal<boolean>; update: Update },
): Promise<void> {
  // The name may have changed since these buttons were shown.
  if (busy.value || !update(one, one)) return;
  busy.value = true;
  failed.value = undefined;
  const place = at('POST /model-files/:digest', { digest: one.digest ?? '' });
  await send(place, { action, ...described(one) }, crypto.randomUUID()).then(
    (made) => {
      update({ ...one, made }, one);
    },
    (error: ApiError) => {
      failed.value = error;
    },
  );
  busy.value = false;
}

function Made({ made: { name, version, trusted } }: { made: ModelVersion }) {
  const subject = `${name}@${version}`;
  return (
    <div role="status" class="uploaded">
      <p>
        <a href={linkTo(['models', name, version])}>{subject}</a>{' '}
        {trusted ? 'is published, in stage dev.' : 'is stored, and waits for a signature. To sign it, run:'}
      </p>
      {!trusted && <Command line={`aiot model sign ${shellWord(subject)}`} label="Sign" />}
    </div>
  );
}
