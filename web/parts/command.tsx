import { useSignal } from '@preact/signals';

/** The equivalent command line, which is copied by clicking it. */
export function Command({ line, label = 'Equivalent command' }: { line: string; label?: string }) {
  const copied = useSignal(false);
  const copy = async () => {
    await navigator.clipboard.writeText(line).catch(() => {});
    copied.value = true;
    setTimeout(() => {
      copied.value = false;
    }, 1500);
  };
  return (
    <button type="button" class="command" onClick={copy} title={`${label}. Click to copy.`}>
      <span aria-hidden="true" class="prompt">
        $
      </span>
      <code>{line}</code>
      <span class="copied" aria-live="polite">
        {copied.value ? 'copied' : ''}
      </span>
    </button>
  );
}
