import { type Signal, useSignal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';
import type { ApiError } from '../app/api.js';
import { plural } from '../app/text.js';
import { Failure } from './page.js';

/** A dialog over the page. Escape closes it, and the focus returns to the element that had it before. */
export function Dialog({
  title,
  look,
  mayClose = () => true,
  onClose,
  children,
}: {
  title: string;
  /** Class for a dialog with its own style. */
  look?: string;
  /** Called when the reader wants to close the dialog, for example with Escape. If it returns false, the dialog remains open. */
  mayClose?: () => boolean;
  onClose: () => void;
  children: ComponentChildren;
}) {
  const own = useRef<HTMLDialogElement>(null);
  // Before the next key is handled, so that it reaches the dialog.
  useLayoutEffect(() => {
    const before = document.activeElement;
    own.current?.showModal();
    return () => {
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={own}
      class={look ? `dialog ${look}` : 'dialog'}
      aria-labelledby="dialog-title"
      onCancel={(event) => {
        if (!mayClose()) event.preventDefault();
      }}
      onClose={() => {
        // Browsers close a dialog at the second Escape, even if it had to remain open.
        if (mayClose()) onClose();
        else own.current?.showModal();
      }}
    >
      <h2 id="dialog-title">{title}</h2>
      {children}
    </dialog>
  );
}

/** Asks for confirmation before an action, and shows an error if the platform rejects it. */
export function Confirm({
  title,
  action,
  danger = false,
  run,
  onClose,
  children,
}: {
  title: string;
  /** Text of the button. */
  action: string;
  danger?: boolean;
  /** @throws ApiError */
  run: () => Promise<unknown>;
  onClose: () => void;
  children: ComponentChildren;
}) {
  const error = useSignal<ApiError | undefined>(undefined);
  const busy = useSignal(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    busy.value = true;
    error.value = undefined;
    await run().then(onClose, (reason: ApiError) => {
      error.value = reason;
    });
    busy.value = false;
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <form onSubmit={submit}>
        {children}
        {error.value && <Failure error={error.value} />}
        <div class="choices">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class={danger ? 'danger' : 'primary'} disabled={busy.value}>
            {action}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** A field for a note on a decision, as `ownNote` sends it. */
export function NoteField({ value }: { value: Signal<string> }) {
  return (
    <label>
      Note for other operators
      <input
        type="text"
        maxLength={500}
        value={value.value}
        onInput={(event) => {
          value.value = event.currentTarget.value;
        }}
      />
    </label>
  );
}

/** The note as a member of a request; none if it is empty. */
export function ownNote({ value }: { value: string }): { note?: string } {
  return value.trim() === '' ? {} : { note: value.trim() };
}

/** Durations that `Duration` offers, hours. */
export const durations = [1, 4, 24, 168];

/** A choice of how long a silence or a snooze lasts. @param hours the chosen duration, one of `durations` */
export function Duration({ hours }: { hours: Signal<number> }) {
  return (
    <label>
      Duration
      <select
        value={hours.value}
        onChange={(event) => {
          hours.value = Number(event.currentTarget.value);
        }}
      >
        {durations.map((each) => (
          <option key={each} value={each}>
            {each < 48 ? plural(each, 'hour') : plural(each / 24, 'day')}
          </option>
        ))}
      </select>
    </label>
  );
}
