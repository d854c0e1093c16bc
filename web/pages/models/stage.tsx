import { useSignal } from '@preact/signals';
import type { ModelVersion, Stage, StageRequest } from '../../../src/lib/api/index.js';
import { type ApiError, at, send } from '../../app/api.js';
import { shellWord } from '../../app/text.js';
import { Command } from '../../parts/command.js';
import { Dialog } from '../../parts/dialog.js';
import { Failure } from '../../parts/page.js';

const order: readonly Stage[] = ['dev', 'staging', 'production'];

/**
 * Moves a version up or down a stage. If a gate rejects the promotion, the page shows why, and the user must give a reason to
 * continue.
 */
export function Stages({ card, moved }: { card: ModelVersion; moved: () => void }) {
  const to = useSignal<Stage | null>(null);
  const at = order.indexOf(card.stage);
  const [up, down] = [order[at + 1], order[at - 1]];
  return (
    <>
      {up && card.trusted && (
        <button
          type="button"
          class="primary"
          onClick={() => {
            to.value = up;
          }}
        >
          Promote to {up}
        </button>
      )}
      {down && card.trusted && (
        <button
          type="button"
          onClick={() => {
            to.value = down;
          }}
        >
          Demote to {down}
        </button>
      )}
      {to.value && (
        <Ask
          card={card}
          to={to.value}
          up={order.indexOf(to.value) > at}
          close={() => {
            to.value = null;
          }}
          moved={moved}
        />
      )}
    </>
  );
}

function Ask({
  card,
  to,
  up,
  close,
  moved,
}: {
  card: ModelVersion;
  to: Stage;
  up: boolean;
  close: () => void;
  moved: () => void;
}) {
  const failed = useSignal<ApiError | undefined>(undefined);
  const reason = useSignal('');
  const busy = useSignal(false);
  const subject = `${card.name}@${card.version}`;
  const refused = failed.value?.code === 'AIOT_GATE_FAILED';
  const because = reason.value.trim();
  const submit = async (event: Event) => {
    event.preventDefault();
    busy.value = true;
    const body: StageRequest = { to, ...(because === '' ? {} : { reason: because }) };
    try {
      const { name, version } = card;
      await send(at('POST /models/:name/versions/:version/stage', { name, version }), body);
      moved();
      close();
    } catch (error) {
      failed.value = error as ApiError;
    } finally {
      busy.value = false;
    }
  };
  return (
    <Dialog title={up ? `Promote ${subject} to ${to}?` : `Demote ${subject} to ${to}?`} onClose={close}>
      {to === 'production' && <p class="soft">The current production version is demoted to staging.</p>}
      <form onSubmit={submit}>
        {failed.value && <Failure error={failed.value} />}
        {refused && (
          <label class="stacked">
            Reason for overriding the gate (recorded in the history)
            <input
              required
              maxLength={500}
              value={reason.value}
              onInput={({ currentTarget }) => {
                reason.value = currentTarget.value;
              }}
            />
          </label>
        )}
        <Command
          line={`aiot model promote ${shellWord(subject)} --to ${to}${because === '' ? '' : ` --reason ${shellWord(because)}`}`}
        />
        <div class="choices">
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button type="submit" class="primary" disabled={busy.value}>
            {up ? 'Promote' : 'Demote'}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
