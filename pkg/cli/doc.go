// Package cli is the command line: one file per command, and the one place where
// the other packages are wired together. Start with Main and App.
//
// Conventions for a command "foo":
//
//   - foo.go holds newFoo(app *App) *cobra.Command (flags, help, examples that
//     work), fooOptions (what the flags say) and runFoo(ctx, app, opts, args), which
//     does the work and can be called without cobra. Add newFoo to the list in
//     commands.go.
//   - Streams, clock and environment come from App, never from os or time. ctx is
//     cancelled by the first SIGINT or SIGTERM (a second one kills); a command that
//     ends cleanly returns nil then, one that was cut short returns ctx.Err() and
//     exits with 130.
//   - Data goes to app.Stdout; everything else goes to app.Stderr, through app.Note
//     and app.Warn.
//   - Errors: return *Error, made with Fail(CodeXxx, why, try, "what failed, on %s",
//     ...). Each code is a line of the table in codes.go, which fixes its exit
//     status, and a paragraph of docs/errors.md (tested). Any other error comes out as
//     XP001, exit 2. Errors that arise before the run function (flags, arguments)
//     are usage errors, exit 64; inside it use Usagef. Do not use MarkFlagRequired.
//     Return ErrFound for exit 1: something was found (diff, events --fail-on).
//   - Codes: XP001-XP019 general, XP020-XP039 proxy, XP040-XP049 store, XP050-XP059
//     demo, XP060-XP069 doctor (one for each thing that may be found).
//   - Output: bind -o with bindOutput, print with Emit (json, jsonl, yaml), Table and
//     app.Palette(). Objects carry "apiVersion".
//   - A command that only holds subcommands is made with group.
//   - A command that reads history binds sourceFlags, see source.go.
package cli
