import { at } from '../../app/api.js';
import { useResource } from '../../app/resource.js';
import { plural } from '../../app/text.js';
import { Failure, Section } from '../../parts/page.js';
import { Plot } from '../../parts/plot.js';

/** Number of fields with a curve: those that differ most. */
const mostFields = 8;

/**
 * How far the device's telemetry is from the training data of its model: the PSI of each field, window by window. Nothing is shown for a model
 * without statistics of its training data.
 */
export function SignalDrift({ name }: { name: string }) {
  const { value, error } = useResource(at('GET /devices/:name/attention', { name }), {
    events: ['device.*'],
    subject: name,
  });
  if (error) return <Failure error={error} />;
  const drift = value?.drift;
  if (!drift) return null;
  const { model, stream, fields, windows, samples, windowSamples } = drift;
  const most = (f: number) => Math.max(...windows.map(({ psi }) => psi[f] ?? 0));
  const shown = fields.map((_, f) => f);
  shown.sort((a, b) => most(b) - most(a));
  const drifted = windows.filter((window) => window.drifted.length > 0).length;
  const compared = `${stream}, compared with the training data of ${model.name}@${model.version}`;
  return (
    <Section title="Drift of the signal" note={compared}>
      {windows.length === 0 ? (
        <p class="soft">
          The first window is not complete: {samples.toLocaleString('en')} of{' '}
          {plural(windowSamples, 'sample')}.
        </p>
      ) : (
        <>
          <p>
            PSI of each field: {drifted} of {plural(windows.length, 'window')} drifted
            {fields.length > mostFields && `; the plot shows the ${mostFields} fields that differ most`}
          </p>
          <Plot
            clock
            zoomable
            least={0}
            height={200}
            label="Drift of the signal over time"
            series={shown.slice(0, mostFields).map((f) => ({ label: fields[f] ?? '', axis: 'PSI' }))}
            data={[
              windows.map(({ from, to }) => (from + to) / 2000),
              ...shown.slice(0, mostFields).map((f) => windows.map(({ psi }) => psi[f] ?? null)),
            ]}
          />
        </>
      )}
    </Section>
  );
}
