package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"karaula/internal/lexicon"
	"karaula/internal/terms"
	karaulav1 "karaula/proto/gen/karaula/v1"
)

// TestPagesInALanguage: heads, coded words and names of parties are in it; ids,
// codes of refusals and what people wrote stay.
func TestPagesInALanguage(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	line := alertLine{
		ID: "ID", Version: 2, Type: "vehicle", Channel: "b04-mk-xk", Origin: "mk", SaidAt: at, Number: 7, State: "sent", Urgency: "urgent",
		Deliveries: []deliveryLine{{Party: "xk", State: "not executed", Due: &at}, {Party: "zz", State: "refused", Code: "wrong-root"}},
	}
	for _, x := range []struct {
		name string
		r    interface{ page(p *page) }
		want string
	}{
		{
			name: "list without a language",
			r:    alertListResult{Alerts: []alertLine{line}},
			want: `SAID                  ALERT  TYPE     URGENCY  CHANNEL    FROM  NUMBER  STATE
2026-03-01 12:00:00Z  ID     vehicle  urgent   b04-mk-xk  mk    7       ` +
				`sent, xk not executed (answer due 2026-03-01 12:00:00Z), zz refused (wrong-root)
`,
		},
		{
			name: "show in Serbian",
			r:    alertShowResult{alertLine: line, Clause: "c1", text: []byte("vehicle: {}\n"), in: lang{lexicon.SerbianCyrillic}},
			want: `упозорење    ID
верзија      2
дато         2026-03-01 12:00:00Z
од           Северна Македонија
канал        b04-mk-xk
број         7
по клаузули  c1
чува се до   -
стање        послато, Косово* неизвршено (одговор до 2026-03-01 12:00:00Z), zz одбијено (wrong-root)

vehicle: {}

* This designation is without prejudice to positions on status, and is in line with ` +
				`UNSCR 1244/1999 and the ICJ Opinion on the Kosovo declaration of independence.
`,
		},
		{
			name: "due in Albanian",
			r: dueResult{now: at, in: lang{lexicon.Albanian}, Clocks: []clockLine{
				{Kind: "error-notice", State: "overdue", Party: "me", Due: at, Alert: alertLine{ID: "ID", Type: "hit", Origin: "al", Channel: "b01-al-me"}},
			}},
			want: `AFATI                 KOHA E MBETUR  GJENDJA        DETYROHET  ÇFARË           SINJALIZIMI  LLOJI                 NGA        KANALI
2026-03-01 12:00:00Z  0m             Jashtë afatit  Mali i Zi  njoftim gabimi  ID           raport për përputhje  Shqipëria  b01-al-me
`,
		},
		{
			name: "look-up",
			r: lookUpResult{in: lang{lexicon.Macedonian}, Answers: []lookUpAnswer{{More: true, Matches: []matchLine{{
				Alert: "ID", Type: "vehicle", Origin: "xk", Rank: "likely", Why: []string{"plate; another or no country"},
				Handling: "H0", PassedOn: &descentLine{Originator: "al"},
			}}}}},
			want: `ПОГОДОК    ВИД     ОД                             ПРЕДУПРЕДУВАЊЕ  ПОСТАПУВАЊЕ                        ПОРАДИ
веројатно  возило  Косово*, проследено: Албанија  ID              H0: важат правилата на спогодбата  таблица, друга држава или без неа
уште       -       -                              -               -                                  има уште погодоци

` + terms.KosovoFootnote + "\n",
		},
		{
			name: "history",
			r: historyResult{
				in: lang{lexicon.SerbianLatin}, ID: "ID", Origin: "mk", Version: 2, Status: "current",
				Flags: []deedLine{{Party: "rs", Ground: "national-law"}},
				Events: []historyEvent{
					{At: at, Party: "mk", Channel: "c", Number: 7, Version: 2, What: "update"},
					{At: at, Party: "rs", Channel: "c", Number: 8, Version: 2, act: &karaulav1.Act{
						Deed: karaulav1.Deed_DEED_FLAG, Ground: karaulav1.Ground_GROUND_NATIONAL_LAW,
					}},
					{At: at, Party: "rs", Channel: "c", Number: 9, What: "hit", Hit: "OTHER", Other: "OTHER"},
				},
			},
			want: `upozorenje  ID
od          Severna Makedonija
stanje      važi
verzija     2
Srbija      označeno: neizvršivo ovde: nacionalno pravo

DATO                  OD                  KANAL  BROJ  VERZIJA  ŠTA
2026-03-01 12:00:00Z  Severna Makedonija  c      7     2        izmenjeno
2026-03-01 12:00:00Z  Srbija              c      8     2        označeno: neizvršivo ovde (nacionalno pravo)
2026-03-01 12:00:00Z  Srbija              c      9     0        izveštaj o pogotku OTHER
`,
		},
		{
			name: "no hit",
			r:    lookUpResult{in: lang{lexicon.Albanian}, Answers: []lookUpAnswer{{}}},
			want: "asnjë përputhje\n",
		},
		{
			name: "look-up in an exercise",
			r: lookUpResult{Exercise: "drina-26", Answers: []lookUpAnswer{
				{Line: 1, Matches: []matchLine{{Alert: "ID", Type: "vehicle", Origin: "al", Rank: "exact", Why: []string{"VIN"}}}, More: true},
				{Line: 2, Error: "no number"},
			}},
			want: `EXERCISE drina-26: nothing of this is meant
LINE  HIT                           TYPE     FROM  ALERT  HANDLING  BECAUSE OF
1     EXERCISE drina-26, exact      vehicle  al    ID     -         VIN
1     EXERCISE drina-26, more       -        -     -      -         there are more matches than these
2     EXERCISE drina-26, not asked  -        -     -      -         no number
`,
		},
		{
			name: "no hit in an exercise",
			r:    lookUpResult{Exercise: "drina-26", Answers: []lookUpAnswer{{}}},
			want: "EXERCISE drina-26: nothing of this is meant\nEXERCISE drina-26, no hit\n",
		},
		{
			name: "withdrawn and repudiated",
			r: alertListResult{in: lang{lexicon.Bosnian}, Alerts: []alertLine{
				{ID: "ID", Type: "route", Channel: "c", Origin: "ba", SaidAt: at, State: "accepted", Lifecycle: "withdraw", Repudiated: true},
			}},
			want: `DATO                  UPOZORENJE  VRSTA              HITNOST  KANAL  OD                   BROJ  STANJE
2026-03-01 12:00:00Z  ID          krijumčarska ruta  -        c      Bosna i Hercegovina  0     ` +
				`POVUČENO, OSPORENO (Bosna i Hercegovina); prethodno: primljeno
`,
		},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			x.r.page(&page{w: &b})
			if diff := cmp.Diff(x.want, b.String()); diff != "" {
				t.Errorf("page wanted (-) and got (+) differ:\n%s", diff)
			}
		})
	}
}
