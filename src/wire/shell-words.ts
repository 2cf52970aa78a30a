/**
 * A command line taken apart as a POSIX shell does it (XCU 2.2 and 2.3), as far as that is certain. The target's shell
 * is not ours to know, so anything that runs, expands or redirects makes the line unclear, and an unclear line has no
 * words at all. Nothing here runs or rewrites a command.
 */

export interface ShellWord {
  /** The word without its quotes. */
  readonly bytes: Buffer;
  /** Whether the shell may put other words in its place: a glob, or `~` at its beginning. */
  readonly expands: boolean;
}

/** A command is one string of one packet; nobody has a longer one. */
const MAX_COMMAND = 64 * 1024;

/** Unquoted, these run, expand, redirect or group: the words are not what they seem. */
const UNCLEAR = /[|&;<>()$`{}\n\0]/;
const BLANK = /[ \t]/;
const GLOB = /[*?[]/;

/** The words of a command; undefined where a shell might do more than call one program with them. */
export function shellWords(command: Buffer): ShellWord[] | undefined {
  if (command.length > MAX_COMMAND) return undefined;
  // Latin-1 keeps one character per byte, so no byte can hide in a longer sequence.
  const text = command.toString('latin1');
  const words: ShellWord[] = [];
  for (let at = 0; at < text.length;) {
    if (BLANK.test(text.charAt(at))) {
      at++;
      continue;
    }
    const word = wordAt(text, at);
    if (!word) return undefined;
    words.push({ bytes: Buffer.from(word.text, 'latin1'), expands: word.expands });
    at = word.end;
  }
  return words;
}

interface Found {
  readonly text: string;
  readonly expands: boolean;
  readonly end: number;
}

function wordAt(text: string, start: number): Found | undefined {
  let word = '';
  let expands = text.charAt(start) === '~';
  // A comment to the end of the line.
  if (text.charAt(start) === '#') return undefined;
  let at = start;
  while (at < text.length && !BLANK.test(text.charAt(at))) {
    const char = text.charAt(at);
    if (UNCLEAR.test(char)) return undefined;
    const quoted =
      char === "'"
        ? singleQuoted(text, at)
        : char === '"'
          ? doubleQuoted(text, at)
          : char === '\\'
            ? escaped(text, at)
            : { text: char, end: at + 1 };
    if (!quoted) return undefined;
    if (quoted.text === char && GLOB.test(char)) expands = true;
    word += quoted.text;
    at = quoted.end;
  }
  return { text: word, expands, end: at };
}

type Quoted = Pick<Found, 'text' | 'end'> | undefined;

function singleQuoted(text: string, at: number): Quoted {
  const end = text.indexOf("'", at + 1);
  const quoted = text.slice(at + 1, end);
  return end < 0 || quoted.includes('\0') ? undefined : { text: quoted, end: end + 1 };
}

/** Between double quotes `$` and back-ticks still act, and a backslash means itself before most characters. */
function doubleQuoted(text: string, start: number): Quoted {
  let quoted = '';
  for (let at = start + 1; at < text.length; at++) {
    const char = text.charAt(at);
    if (char === '"') return { text: quoted, end: at + 1 };
    if (char === '$' || char === '`' || char === '\0') return undefined;
    if (char === '\\') {
      const next = text.charAt(at + 1);
      if (next === '\n') return undefined;
      if (next === '"' || next === '\\' || next === '$' || next === '`') {
        quoted += next;
        at++;
        continue;
      }
    }
    quoted += char;
  }
  return undefined;
}

function escaped(text: string, at: number): Quoted {
  const next = text.charAt(at + 1);
  // Nothing to escape, or a line that goes on.
  return next === '' || next === '\n' || next === '\0' ? undefined : { text: next, end: at + 2 };
}
