import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import encodeQR from 'qr';
import type { Claim } from '../../../src/lib/api/index.js';
import { type ApiError, at, send } from '../../app/api.js';
import { linkTo } from '../../app/route.js';
import { saveFile } from '../../app/save.js';
import { isLimited, mayChange } from '../../app/session.js';
import { shellWord } from '../../app/text.js';
import { Command } from '../../parts/command.js';
import { Field } from '../../parts/field.js';
import { Facts, Failure, Page, Section } from '../../parts/page.js';
import { When } from '../../parts/when.js';
import { addressesOf, isOnlyHere } from './addresses.js';
import { Arrival } from './arrival.js';

const hourMs = 3_600_000;
/** Validity periods as in commands, and in ms. */
const spans = { '1h': hourMs, '24h': 24 * hourMs, '7d': 168 * hourMs, '30d': 720 * hourMs } as const;
type Span = keyof typeof spans;

const usual = { name: '', type: 'pi', mac: '', span: '24h' as Span };

/**
 * The page `#/add-device`: registers a device that generates its own key, and shows its claim once, as a QR code and as a file. The claim
 * is only in this page's memory.
 */
export function AddDevice() {
  const typed = useSignal(usual);
  const claim = useSignal<Claim | null>(null);
  const busy = useSignal(false);
  const error = useSignal<ApiError | undefined>(undefined);
  const { name, type, mac, span } = typed.value;
  const edit = (change: Partial<typeof usual>) => {
    typed.value = { ...typed.value, ...change };
    error.value = undefined;
  };
  const submit = async (event: Event) => {
    event.preventDefault();
    busy.value = true;
    error.value = undefined;
    const request = { name: name.trim(), type: type.trim(), validMs: spans[span] };
    await send(at('POST /claims', {}), mac.trim() === '' ? request : { ...request, mac: mac.trim() }).then(
      (made) => {
        claim.value = made;
      },
      (reason: ApiError) => {
        error.value = reason;
      },
    );
    busy.value = false;
  };
  // Limited users cannot register devices.
  const mayAdd = mayChange() && !isLimited();
  const line = [
    `aiot device claim ${name.trim() === '' ? 'NAME' : shellWord(name.trim())}`,
    `--type ${shellWord(type.trim())}`,
    ...(span === usual.span ? [] : [`--expires ${span}`]),
    ...(mac.trim() === '' ? [] : [`--mac ${shellWord(mac.trim())}`]),
    '--out claim.json',
  ].join(' ');
  return (
    <Page title="Add a device" above={{ title: 'Devices', to: linkTo(['devices']) }} command={line}>
      {!mayAdd && <p>Only operators of the whole platform can add devices.</p>}
      {mayAdd && claim.value === null && (
        <>
          <p>
            Registers a computer, such as a Raspberry Pi, that generates its own key. For an ESP32 board,{' '}
            <a href={linkTo(['add-board'])}>add a board</a>.
          </p>
          <form onSubmit={submit}>
            <div class="form">
              <Field
                id="claim-name"
                name="Name of the device"
                property={{ type: 'string', maxLength: 64 }}
                required
                value={name}
                onChange={(text) => edit({ name: text })}
              />
              <Field
                id="claim-type"
                name="Device type"
                property={{ type: 'string', maxLength: 64, description: 'Matches models and settings.' }}
                required
                value={type}
                onChange={(text) => edit({ type: text })}
              />
              <Field
                id="claim-mac"
                name="MAC address"
                property={{ type: 'string', description: 'Only this board can use the claim.' }}
                required={false}
                value={mac}
                onChange={(text) => edit({ mac: text })}
              />
              <div class="field">
                <label for="claim-span">Valid for</label>
                <select
                  id="claim-span"
                  value={span}
                  onChange={({ currentTarget }) => edit({ span: currentTarget.value as Span })}
                >
                  {Object.keys(spans).map((each) => (
                    <option key={each}>{each}</option>
                  ))}
                </select>
              </div>
            </div>
            {error.value && <Failure error={error.value} />}
            <div class="choices">
              <button type="submit" class="primary" disabled={busy.value}>
                Create a claim
              </button>
            </div>
          </form>
        </>
      )}
      {claim.value && (
        <Made
          claim={claim.value}
          onAnother={() => {
            claim.value = null;
            typed.value = usual;
          }}
        />
      )}
    </Page>
  );
}

function Made({ claim, onAnother }: { claim: Claim; onAnother: () => void }) {
  const { device, expires } = claim;
  /** The platform's address for the device: its own, or that of this page. */
  const url = useSignal(claim.url);
  const urls = addressesOf(claim.url, location);
  const title = useRef<HTMLHeadingElement>(null);
  // The button that had the focus is gone.
  useEffect(() => title.current?.focus(), []);
  const text = claimFile({ ...claim, url: url.value });
  const save = () => saveFile(`${device.name}-claim.json`, new Blob([text], { type: 'application/json' }));
  return (
    <>
      <section class="claim" aria-label={`Claim of ${device.name}`}>
        <h2 ref={title} tabIndex={-1}>
          {device.name}
        </h2>
        <Qr text={text} label={`QR code of the claim of ${device.name}`} />
        <Facts
          facts={[
            ['type', device.type],
            ['platform', url.value],
            ['valid until', <When key="expires" at={expires} />],
          ]}
        />
        <p>Save the text of the QR code as claim.json on the device. Then run there:</p>
        <Command line={`aiot device activate ./${shellWord(device.name)} --claim claim.json`} />
      </section>
      {urls.length > 1 && (
        <div class="form no-print">
          <div class="field long">
            <label for="claim-url">Address of the platform</label>
            <select
              id="claim-url"
              aria-describedby="claim-url-note"
              value={url.value}
              onChange={({ currentTarget }) => {
                url.value = currentTarget.value;
              }}
            >
              {urls.map((each) => (
                <option key={each} value={each}>
                  {each} ({each === claim.url ? 'as the platform sees it' : 'as in this browser'})
                </option>
              ))}
            </select>
            <small class="soft" id="claim-url-note">
              The platform and this browser have different addresses. Choose the one that the device can
              reach. Its certificate must be from the platform's CA.
            </small>
          </div>
        </div>
      )}
      {isOnlyHere(url.value) && (
        <p class="broken no-print" role="status">
          Only the platform's own machine can reach {url.value}. Other devices need a platform that listens on
          the network, as after <code>aiot up --host 0.0.0.0</code>.
        </p>
      )}
      <p class="no-print">
        Anyone who has the claim can become this device, once. It is shown only now: print or save it before
        you leave this page.
      </p>
      <div class="choices no-print">
        <button type="button" onClick={onAnother}>
          Add another device
        </button>
        <button type="button" onClick={save}>
          Save the claim
        </button>
        <button type="button" class="primary" onClick={() => print()}>
          Print
        </button>
      </div>
      <Section title="The device">
        <Arrival name={device.name} claims />
      </Section>
    </>
  );
}

/** The file that `aiot device activate --claim` reads (src/lib/provision/claim.ts). */
function claimFile({ device: { name, type }, url, ca, token, expires }: Claim): string {
  return JSON.stringify({ spec: 'aiot-claim/1', name, type, url, ca, token, expires });
}

/** A QR code as one path, with the quiet zone of four modules around it. */
function Qr({ text, label }: { text: string; label: string }) {
  const rows = encodeQR(text, 'raw', { ecc: 'low', border: 4 });
  const path = rows
    .flatMap((row, y) => row.map((isDark, x) => (isDark ? `M${x} ${y}h1v1h-1z` : '')))
    .join('');
  return (
    <svg class="qr" role="img" aria-label={label} viewBox={`0 0 ${rows.length} ${rows.length}`}>
      <rect width="100%" height="100%" fill="#fff" />
      <path d={path} fill="#000" shape-rendering="crispEdges" />
    </svg>
  );
}
