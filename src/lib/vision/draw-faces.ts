import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { nativePart, writeFileAtomic } from '../core/index.js';

interface Person {
  /** Middle of the face, and half its width; pixels of 640×480. */
  x: number;
  y: number;
  radius: number;
  hair: string;
}

/** How many people are in the pictures that `drawFaces` makes, in their order: somebody walks by, another joins, both leave. */
export const drawnFaces = [0, 1, 1, 1, 2, 2, 2, 1, 1, 0] as const;

/** Pictures for a camera project where no camera is: drawn here, of nobody. 640×480 JPEG, `frame00.jpg` and on. */
export async function drawFaces(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const [frame, people] of drawnFaces.entries()) {
    const file = join(folder, `frame${String(frame).padStart(2, '0')}.jpg`);
    const first = { x: 60 + frame * 52, y: 200, radius: 66, hair: '#3b2a20' };
    const second = { x: 620 - frame * 70, y: 260, radius: 50, hair: '#7a5a34' };
    // Who came first is gone at the end.
    const shown = people === 2 ? [first, second] : people === 1 ? [frame < 7 ? first : second] : [];
    await writeFileAtomic(file, await drawPicture(shown));
  }
}

/** A room with these people in it, as JPEG. */
export async function drawPicture(people: readonly Person[]): Promise<Buffer> {
  const { default: sharp } = await nativePart('sharp', () => import('sharp'));
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="640" height="480"><defs>
    <radialGradient id="skin" cx="45%" cy="40%" r="65%"><stop offset="0" stop-color="#efc6a6"/><stop offset=".65" stop-color="#d9a886"/><stop offset="1" stop-color="#a87455"/></radialGradient>
    <linearGradient id="neck" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="#8f5f45"/><stop offset="1" stop-color="#c4916f"/></linearGradient>
    <linearGradient id="wall" x1="0" y1="0" x2="1" y2="1"><stop offset="0" stop-color="#9fb3bd"/><stop offset="1" stop-color="#5d6f78"/></linearGradient>
    </defs><rect width="640" height="480" fill="url(#wall)"/>${people.map(personShape).join('')}</svg>`;
  return sharp(Buffer.from(svg)).blur(1.2).jpeg({ quality: 88 }).toBuffer();
}

/** In units of half a face's width, around its middle. Shades matter to the detector more than lines. */
function personShape({ x, y, radius, hair }: Person): string {
  const eye = (side: number) => `<g transform="translate(${side},-.12)">
    <ellipse rx=".17" ry=".085" fill="#f5efe8"/><circle r=".08" fill="#4a3020"/><circle r=".04" fill="#111"/>
    <path d="M-.19,-.03 Q0,-.14 .19,-.03" stroke="#3a241a" stroke-width=".03" fill="none"/>
    <path d="M-.22,-.17 Q0,-.27 .22,-.17" stroke="${hair}" stroke-width=".06" fill="none"/>
    <ellipse cy="-.02" rx=".24" ry=".17" opacity=".1"/></g>`;
  return `<g transform="translate(${x},${y}) scale(${radius})">
    <path d="M-1.6,6 Q-1.5,1.5 -.5,1.35 L.5,1.35 Q1.5,1.5 1.6,6Z" fill="#34495e"/>
    <rect x="-.4" y=".6" width=".8" height="1" fill="url(#neck)"/>
    <ellipse cy="-.25" rx="1.02" ry="1.25" fill="${hair}"/>
    <ellipse cx="-.84" cy=".02" rx=".12" ry=".22" fill="#d9a886"/><ellipse cx=".84" cy=".02" rx=".12" ry=".22" fill="#d9a886"/>
    <path d="M-.82,-.3 Q-.85,.6 -.35,1 Q0,1.2 .35,1 Q.85,.6 .82,-.3 Q.7,-.95 0,-.95 Q-.7,-.95 -.82,-.3Z" fill="url(#skin)"/>
    ${eye(-0.34)}${eye(0.34)}
    <path d="M-.05,-.1 Q-.1,.2 -.16,.3 Q0,.4 .16,.3" stroke="#8d5b44" stroke-width=".035" fill="none"/>
    <ellipse cx=".03" cy=".15" rx=".06" ry=".2" fill="#fff" opacity=".22"/><ellipse cy=".36" rx=".16" ry=".05" opacity=".22"/>
    <path d="M-.3,.6 Q-.1,.52 0,.56 Q.1,.52 .3,.6 Q0,.78 -.3,.6Z" fill="#a8504c"/>
    <path d="M-.3,.6 Q0,.66 .3,.6" stroke="#5a2422" stroke-width=".025" fill="none"/><ellipse cy=".85" rx=".2" ry=".05" opacity=".12"/>
    <ellipse cx="-.5" cy=".35" rx=".2" ry=".16" fill="#c4705a" opacity=".25"/><ellipse cx=".5" cy=".35" rx=".2" ry=".16" fill="#c4705a" opacity=".25"/></g>`;
}
