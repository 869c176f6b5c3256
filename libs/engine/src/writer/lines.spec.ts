// Lines stay as they are until nobody holds any of their piece; what is given up is told once.
import type { SegmentWatcher } from './lines';
import { bytesOf, Lines } from './lines';

const MIB = 1024 * 1024;

class Watcher implements SegmentWatcher {
  readonly told: string[] = [];

  appended(): void {
    this.told.push('appended');
  }

  emptied(): void {
    this.told.push('emptied');
  }

  gone(): void {
    this.told.push('gone');
  }
}

let watcher: Watcher;
let lines: Lines;
beforeEach(() => {
  watcher = new Watcher();
  lines = new Lines(watcher);
});

test('a line is what was appended, whatever characters it has', () => {
  const texts = ['', 'one', 'zwölf', '\u{1f600} "x"', 'y'.repeat(3 * MIB)];
  const appended = texts.map((text) => lines.append(bytesOf(text)));
  expect(appended.map(({ text }) => text)).toEqual(texts);
  const target = Buffer.alloc(20);
  expect(appended[2]?.copyTo(target, 4)).toBe(4 + Buffer.byteLength('zwölf'));
  expect(target.toString('utf8', 4, 10)).toBe('zwölf');
});

test('a piece of which no line is held any more is used anew, and one that is full is given up', () => {
  const first = lines.append(bytesOf('x'.repeat(MIB / 2)));
  const second = lines.append(bytesOf('x'.repeat(MIB / 4)));
  second.hold();
  first.release();
  second.release();
  expect(watcher.told).toEqual(['appended', 'appended']);
  second.release();
  expect(watcher.told.splice(0)).toEqual(['appended', 'appended', 'emptied']);
  const third = lines.append(bytesOf('x'.repeat(MIB - 10)));
  expect(third.text).toHaveLength(MIB - 10);
  lines.append(bytesOf('next'.repeat(10)));
  third.release();
  expect(watcher.told).toEqual(['appended', 'appended', 'gone']);
});

test('a piece that is left for a longer line, with nothing in it that is held, is given up', () => {
  lines.append(bytesOf('short')).release();
  lines.append(bytesOf('x'.repeat(MIB)));
  expect(watcher.told).toEqual(['appended', 'gone', 'appended']);
});
