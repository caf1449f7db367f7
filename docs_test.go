package gometheus_test

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

// TestDocsLinks: every link of a Markdown file to something in this repository
// leads somewhere, heading and line included.
func TestDocsLinks(t *testing.T) {
	root := os.DirFS(".")
	checked := 0
	require.NoError(t, fs.WalkDir(root, ".", func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{".git", ".bench", "bin", "dist", "node_modules", "testdata"}, entry.Name()):
			return fs.SkipDir
		case entry.IsDir() || path.Ext(file) != ".md":
			return nil
		}
		text, err := fs.ReadFile(root, file)
		if err != nil {
			return err
		}
		for _, target := range linksOf(string(text)) {
			checked++
			if err := checkLink(root, file, target); err != nil {
				t.Errorf("%s links to %s: %v", file, target, err)
			}
		}
		return nil
	}))
	require.Greater(t, checked, 30, "hardly any links were found")
}

var (
	fenceRE = regexp.MustCompile("(?ms)^ *(```+|~~~+).*?^ *(```+|~~~+)[ \t]*$")
	spanRE  = regexp.MustCompile("`[^`\n]+`")
	linkRE  = regexp.MustCompile(`\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)`)
	refRE   = regexp.MustCompile(`(?m)^ {0,3}\[[^\]]+\]:\s+<?([^\s>]+)>?`)
	attrRE  = regexp.MustCompile(`(?:href|src|srcset)="([^"\s]+)"`)
	headRE  = regexp.MustCompile(`(?m)^ {0,3}#{1,6}\s+(.*?)\s*#*\s*$`)
	nameRE  = regexp.MustCompile(`<a\s+(?:id|name)="([^"]+)"`)
	lineRE  = regexp.MustCompile(`^L(\d+)(?:-L(\d+))?$`)
)

// linksOf returns the targets that stay in the repository.
func linksOf(text string) []string {
	text = spanRE.ReplaceAllString(fenceRE.ReplaceAllString(text, ""), "")
	var targets []string
	for _, re := range []*regexp.Regexp{linkRE, refRE, attrRE} {
		for _, match := range re.FindAllStringSubmatch(text, -1) {
			if scheme := regexp.MustCompile(`^([a-z]+:|//)`); !scheme.MatchString(match[1]) {
				targets = append(targets, match[1])
			}
		}
	}
	return targets
}

func checkLink(root fs.FS, from, target string) error {
	file, anchor, anchored := strings.Cut(target, "#")
	to := from
	if file != "" {
		to = path.Join(path.Dir(from), file)
	}
	info, err := fs.Stat(root, to)
	if err != nil || !anchored {
		return err
	}
	if info.IsDir() {
		return fmt.Errorf("%s is a folder, without headings", to)
	}
	text, err := fs.ReadFile(root, to)
	if err != nil {
		return err
	}
	if path.Ext(to) == ".md" {
		if !slices.Contains(anchorsOf(string(text)), anchor) {
			return fmt.Errorf("%s has no heading #%s", to, anchor)
		}
		return nil
	}
	lines := lineRE.FindStringSubmatch(anchor)
	if lines == nil {
		return fmt.Errorf("#%s is no line", anchor)
	}
	for _, digits := range lines[1:] {
		if n, _ := strconv.Atoi(digits); n > strings.Count(string(text), "\n") {
			return fmt.Errorf("%s has no line %d", to, n)
		}
	}
	return nil
}

// anchorsOf returns the names of a file's headings, as GitHub makes them.
func anchorsOf(text string) []string {
	var anchors []string
	for _, match := range nameRE.FindAllStringSubmatch(text, -1) {
		anchors = append(anchors, match[1])
	}
	seen := map[string]int{}
	for _, match := range headRE.FindAllStringSubmatch(fenceRE.ReplaceAllString(text, ""), -1) {
		heading := regexp.MustCompile(`!?\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(match[1], "$1")
		anchor := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-', r == '_', unicode.IsLetter(r), unicode.IsNumber(r), unicode.Is(unicode.Mn, r):
				return unicode.ToLower(r)
			}
			return -1
		}, heading)
		n := seen[anchor]
		seen[anchor]++
		if n > 0 {
			anchor += "-" + strconv.Itoa(n)
		}
		anchors = append(anchors, anchor)
	}
	return anchors
}

// TestDocsLinksNotice: what is wrong with a link is noticed, and what is code is
// no link.
func TestDocsLinksNotice(t *testing.T) {
	root := os.DirFS(t.TempDir())
	dir := fmt.Sprint(root)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "docs"), 0o750))
	for name, text := range map[string]string{
		"docs/a.md": "# Back up `it`: how?\n## Same\n## Same\n```sh\n# no heading\n```\n## Проверка, ещё раз\n<a id=\"own\"></a>\n",
		"code.go":   "package x\n\nvar y int\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	for target, want := range map[string]string{
		"docs/a.md":                "",
		"docs":                     "",
		"docs/":                    "",
		"code.go#L3":               "",
		"docs/a.md#back-up-it-how": "",
		"docs/a.md#same-1":         "",
		"docs/a.md#own":            "",
		"docs/a.md#проверка-ещё-раз": "",
		"docs/b.md":            "no such file",
		"../outside.md":        "invalid argument",
		"docs#x":               "docs is a folder, without headings",
		"docs/a.md#no-heading": "docs/a.md has no heading #no-heading",
		"docs/a.md#same-2":     "docs/a.md has no heading #same-2",
		"code.go#L4":           "code.go has no line 4",
		"code.go#y":            "#y is no line",
	} {
		err := checkLink(root, "README.md", target)
		if want == "" {
			require.NoError(t, err, target)
			continue
		}
		require.ErrorContains(t, err, strings.Replace(want, "no such file", "no such file", 1), target)
	}
	require.Error(t, checkLink(root, "docs/a.md", "docs/a.md"), "links are relative to the file")

	text := "[a](b.md) ![i](<i.png> \"T\") [two\nlines](c.md#d)\n[ref]: d.md\n<img src=\"e.png\"> [w](https://example.com) <x@example.com>\n" +
		"`[code](no.md)`\n```md\n[code](no.md)\n```\n[f](#f)"
	require.ElementsMatch(t, []string{"b.md", "i.png", "c.md#d", "d.md", "e.png", "#f"}, linksOf(text))
}

// TestDependabot: its configuration covers every Go module.
func TestDependabot(t *testing.T) {
	config, err := os.ReadFile(".github/dependabot.yml")
	require.NoError(t, err)
	list := regexp.MustCompile(`package-ecosystem: gomod\n\s+directories: \[([^\]]+)\]`).FindSubmatch(config)
	require.NotNil(t, list)
	modules := 0
	require.NoError(t, filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Name() != "go.mod" {
			return err
		}
		modules++
		dir := path.Join("/", filepath.ToSlash(filepath.Dir(file)))
		require.True(t, slices.ContainsFunc(strings.Split(string(list[1]), ", "), func(pattern string) bool {
			ok, err := path.Match(pattern, dir)
			return ok && err == nil
		}), "%s is in none of %s", dir, list[1])
		return nil
	}))
	require.GreaterOrEqual(t, modules, 3)
}
