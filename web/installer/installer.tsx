import { useSignal } from '@preact/signals';
import { render } from 'preact';
import { useEffect } from 'preact/hooks';
import { Fault } from '../board/fault.js';
import { type BoardFault, faultOf } from '../board/faults.js';
import { BoardSetup, type Release } from '../board/setup.js';
import { loadRelease } from './manifest.js';
import '../style/installer.css';

/** The page of `aiot firmware web-installer`. */
function Installer() {
  const release = useSignal<Release | null>(null);
  const fault = useSignal<BoardFault | null>(null);
  useEffect(() => {
    loadRelease(new URL('manifest.json', document.baseURI)).then(
      (loaded) => {
        release.value = loaded;
        document.title = `Install ${loaded.name} ${loaded.version}`;
      },
      (error: unknown) => {
        fault.value = faultOf(error);
      },
    );
  }, []);
  return (
    <main class="installer">
      <h1>{release.value ? `Install ${release.value.name} ${release.value.version}` : 'Install firmware'}</h1>
      {release.value && <p class="soft">For boards with {release.value.families.join(', ')}</p>}
      <Fault fault={fault.value} />
      {release.value && <BoardSetup release={release.value} />}
    </main>
  );
}

const root = document.getElementById('app');
if (root) render(<Installer />, root);
