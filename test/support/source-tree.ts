/** What the architecture test knows of the sources: each file, what it imports, and its words before the code. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import ts from 'typescript';

/** The folder of the repository. */
export const ROOT = join(import.meta.dirname, '../..');

export interface SourceFile {
  /** Path from the root, for instance `src/base/errors.ts`. */
  readonly path: string;
  /** Imported files of ours, as paths from the root; type-only imports too. */
  readonly files: readonly string[];
  /** The same without the type-only ones: what is loaded when it runs. */
  readonly loads: readonly string[];
  /** Imported npm packages by name, without node: builtins. */
  readonly packages: readonly string[];
  readonly hasHeader: boolean;
  readonly hasDefaultExport: boolean;
  readonly text: string;
}

/** `@scope/name/deep/path` -> `@scope/name`. */
function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

interface Import {
  readonly specifier: string;
  readonly typeOnly: boolean;
}

/** Every import, re-export, import type and dynamic import or require of a literal. */
function importsOf(source: ts.SourceFile): Import[] {
  const found: Import[] = [];
  const add = (node: ts.Node | undefined, typeOnly: boolean): void => {
    if (node && ts.isStringLiteralLike(node)) found.push({ specifier: node.text, typeOnly });
  };
  const isLoad = (call: ts.CallExpression): boolean =>
    call.expression.kind === ts.SyntaxKind.ImportKeyword ||
    (ts.isIdentifier(call.expression) && call.expression.text === 'require');
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) {
      add(node.moduleSpecifier, node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword);
    } else if (ts.isExportDeclaration(node)) {
      add(node.moduleSpecifier, node.isTypeOnly);
    } else if (ts.isImportTypeNode(node)) {
      if (ts.isLiteralTypeNode(node.argument)) add(node.argument.literal, true);
    } else if (ts.isCallExpression(node) && isLoad(node)) {
      add(node.arguments[0], false);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

function hasDefaultExport(source: ts.SourceFile): boolean {
  return source.statements.some(
    (statement) =>
      ts.isExportAssignment(statement) ||
      (ts.canHaveModifiers(statement) &&
        ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.DefaultKeyword)) ||
      (ts.isExportDeclaration(statement) &&
        statement.exportClause !== undefined &&
        ts.isNamedExports(statement.exportClause) &&
        statement.exportClause.elements.some(({ name }) => name.text === 'default')),
  );
}

/** A block comment before all code, with a sentence in it. */
function hasHeader(text: string): boolean {
  const comment = /^(?:#![^\n]*\n)?\s*\/\*\*?([\s\S]*?)\*\//.exec(text)?.[1] ?? '';
  return comment.replace(/[\s*]+/g, ' ').trim().length >= 40;
}

/** Reads one file of the repository. */
export function readSource(path: string): SourceFile {
  const text = readFileSync(join(ROOT, path), 'utf8');
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const imports = importsOf(source);
  const ours = ({ specifier }: Import): boolean => specifier.startsWith('.');
  const resolve = ({ specifier }: Import): string =>
    relative(ROOT, join(ROOT, dirname(path), specifier));
  return {
    path,
    text,
    files: [...new Set(imports.filter(ours).map(resolve))],
    loads: [...new Set(imports.filter((one) => ours(one) && !one.typeOnly).map(resolve))],
    packages: [
      ...new Set(
        imports
          .filter((one) => !ours(one) && !one.specifier.startsWith('node:'))
          .map(({ specifier }) => packageOf(specifier)),
      ),
    ],
    hasHeader: hasHeader(text),
    hasDefaultExport: hasDefaultExport(source),
  };
}

/** Every TypeScript file below the folders, declarations included, in order of path. */
export function sourceTree(...folders: readonly string[]): SourceFile[] {
  return folders
    .flatMap((folder) =>
      readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.ts'))
        .map((name) => join(folder, name)),
    )
    .sort()
    .map(readSource);
}
