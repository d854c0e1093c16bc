import { useSignal } from '@preact/signals';
import type { ComponentType } from 'preact';
import { useEffect } from 'preact/hooks';

const isMac = /Mac|iPhone|iPad/.test(navigator.platform);

/** The button that opens the command palette, and its shortcut. The palette's file is loaded on first use. */
export function PaletteButton() {
  const isOpen = useSignal(false);
  const loaded = useSignal<{ of: ComponentType<{ onClose: () => void }> } | undefined>(undefined);
  const open = () => {
    // A dialog that asks for confirmation stays in front.
    if (document.querySelector('dialog[open]')) return;
    isOpen.value = true;
    import('./palette.js').then(
      ({ Palette }) => {
        loaded.value = { of: Palette };
      },
      () => {
        isOpen.value = false;
      },
    );
  };
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const isShortcut = event.key.toLowerCase() === 'k' && event.ctrlKey !== event.metaKey;
      if (!isShortcut || event.altKey || event.shiftKey) return;
      event.preventDefault();
      if (isOpen.value) isOpen.value = false;
      else open();
    };
    addEventListener('keydown', press);
    return () => removeEventListener('keydown', press);
  }, []);
  const Palette = loaded.value?.of;
  return (
    <>
      <button
        type="button"
        class="search"
        aria-haspopup="dialog"
        aria-keyshortcuts={isMac ? 'Meta+K' : 'Control+K'}
        onClick={open}
      >
        Search <kbd>{isMac ? '⌘K' : 'Ctrl K'}</kbd>
      </button>
      {isOpen.value && Palette && (
        <Palette
          onClose={() => {
            isOpen.value = false;
          }}
        />
      )}
    </>
  );
}
