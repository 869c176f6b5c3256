// Installs the packed library into an empty Nest 11 app and an empty Nest 12 app, as a user would, and runs a job there:
// types without `skipLibCheck`, one copy of Nest, the package's real files.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, sep } from 'node:path';

const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'));
const tools = readJson('package.json').devDependencies;
const nest12 = readJson('compat/nest12/package.json').dependencies;

const apps = [
  { name: 'Nest 11, CommonJS', type: 'commonjs', versions: tools },
  { name: 'Nest 12, ES modules', type: 'module', versions: nest12 },
  { name: 'Nest 12, CommonJS', type: 'commonjs', versions: nest12 },
];

const compilerOptions = {
  target: 'es2022',
  module: 'nodenext',
  types: ['node'],
  strict: true,
  skipLibCheck: false,
  experimentalDecorators: true,
  emitDecoratorMetadata: true,
  rootDir: 'src',
  outDir: 'dist',
};

const MAIN = `
import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { JobQueue, RogerJob, RogerModule, type JobContext, type JobHandler } from 'nestjs-roger';

interface Greeting {
  readonly name: string;
}

let greet: (text: string) => void;
const greeted = new Promise<string>((resolve) => (greet = resolve));

@RogerJob()
class HelloJob implements JobHandler<Greeting> {
  perform(args: Greeting, context: JobContext): void {
    greet(\`hello \${args.name}, \${context.signal.aborted ? 'aborted' : 'not aborted'}\`);
  }
}

@Module({
  imports: [RogerModule.forRoot({ partitions: { acme: { default: 2 } } })],
  providers: [HelloJob],
})
class AppModule {}

async function main(): Promise<void> {
  const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error'] });
  const result = await app.get(JobQueue).enqueue(HelloJob, { name: 'x' }, { partition: 'acme' });
  console.log(result.status, await greeted);
  await app.close();
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
`;

const folder = mkdtempSync(join(tmpdir(), 'roger-fresh-'));
const run = (program, args, cwd) =>
  execFileSync(program, args, {
    cwd,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: 300_000,
  });

run('npm', ['pack', '--silent', '--pack-destination', folder], 'libs/roger');
const tarball = join(
  folder,
  readdirSync(folder).find((name) => name.endsWith('.tgz')),
);

for (const { name, type, versions } of apps) {
  const app = mkdtempSync(join(folder, 'app-'));
  const write = (file, content) => writeFileSync(join(app, file), content);
  mkdirSync(join(app, 'src'));
  write('src/main.ts', MAIN);
  write('package.json', JSON.stringify({ name: 'fresh', private: true, type, ...dependencies(versions) }));
  write('tsconfig.json', JSON.stringify({ compilerOptions, include: ['src'] }));

  run('npm', ['install', '--no-audit', '--no-fund', '--silent'], app);
  const cores = readdirSync(join(app, 'node_modules'), { recursive: true }).filter((path) =>
    `${sep}${path}`.endsWith(join(sep, '@nestjs', 'core', 'package.json')),
  );
  if (cores.length !== 1) throw new Error(`${name}: one copy of Nest expected, found ${cores.join(', ')}`);
  const { version } = readJson(join(app, 'node_modules', cores[0]));
  if (version !== versions['@nestjs/core']) throw new Error(`${name}: Nest ${version} was installed`);

  run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', '.'], app);
  const said = run(process.execPath, ['dist/main.js'], app).trim();
  if (said !== 'enqueued hello x, not aborted') throw new Error(`${name}: the app said: ${said}`);
  console.log(`${name} (${version}): ${said}`);
}
rmSync(folder, { recursive: true });

function dependencies(versions) {
  const of = (source, names) => Object.fromEntries(names.map((name) => [name, source[name]]));
  return {
    dependencies: {
      'nestjs-roger': `file:${tarball}`,
      ...of(versions, ['@nestjs/common', '@nestjs/core', 'reflect-metadata', 'rxjs']),
      ...of(tools, ['class-transformer', 'class-validator']),
    },
    devDependencies: of(tools, ['@types/node', 'typescript']),
  };
}
