package logger_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zapcore"

	"github.com/gometheus/gometheus/internal/common/logger"
)

// newYear is a clock for examples.
type newYear struct{ zapcore.Clock }

func (newYear) Now() time.Time {
	return time.Date(2026, 1, 1, 9, 0, 0, 0, time.FixedZone("JST", 9*3600))
}

func TestRedactDSN(t *testing.T) {
	for _, c := range []struct{ dsn, want string }{
		{"", ""},
		{"  ", ""},

		// URLs.
		{"postgres://u:hunter2@db:5432/m?sslmode=disable", "postgres://u:***@db:5432/m?sslmode=disable"},
		{"postgresql://u:hunter2@db", "postgresql://u:***@db"},
		{"postgres://u@db/m", "postgres://u@db/m"},
		{"postgres://u:@db/m", "postgres://u:***@db/m"},
		{"postgres://:hunter2@db/m", "postgres://:***@db/m"},
		{"postgres://db/m", "postgres://db/m"},
		{"postgres:///m?host=/run/postgresql", "postgres:///m?host=/run/postgresql"},
		{"postgres://u:hunter2@h1:5432,h2:5433,[::1]:5434/m", "postgres://u:***@h1:5432,h2:5433,[::1]:5434/m"},
		{"postgres://u:hunter2@[2001:db8::1]/m", "postgres://u:***@[2001:db8::1]/m"},
		{"postgres://u:hun%40ter%2F2@db/m", "postgres://u:***@db/m"},
		{"postgres://u:hun:ter2@db/m", "postgres://u:***@db/m"},
		{"postgres://u:hunt@er2@db/m", "postgres://u:***@db/m"},
		{"postgres://u%40corp:hunter2@db/m", "postgres://u%40corp:***@db/m"},
		{"postgres://db/m?user=u&password=hunter2", "postgres://db/m?user=u&password=***"},
		{"postgres://db/m?PassWord=hunter2&&sslpassword=hunter2&pool_max_conns=4", "postgres://db/m?PassWord=***&&sslpassword=***&pool_max_conns=4"},
		{"postgres://db/m?p%61ssword=hunter2", "postgres://db/m?p%61ssword=***"},
		{"postgres://db/m?password=hun=ter2", "postgres://db/m?password=***"},
		{"postgres://db?oauth_client_secret=hunter2", "postgres://db?oauth_client_secret=***"},

		// URLs that don't say where the password ends.
		{"postgres://u:hunt/er2@db/m", "***"},
		{"postgres://u:12/hunter2@db/m", "***"},
		{"postgres://u:12?hunter2@db/m", "***"},
		{"postgres://u:12#hunter2@db/m", "***"},
		{"postgres://u:12#hunter2", "***"},
		{"postgres://u:12?hunter2", "***"},
		{"postgres://db/m?password=hunter2#hunter2", "***"},
		{"postgres://db/m?password=hun&ter2", "***"},
		{"postgres://u@corp:hunter2@db/m", "***"},
		{"postgres://u:hunter2", "***"},
		{"postgres://u:hunter2,db/m", "***"},
		{"postgres://u:hunt%er2@db/m", "***"},
		{"postgres://db/m?pass%word=hunter2", "***"},
		{"postgres://u:hunt er2@db/m", "***"},
		{"postgres://u:hunt\ner2@db/m", "***"},

		// Pairs.
		{"host=db user=u password=hunter2 dbname=m", "host=db user=u password=*** dbname=m"},
		{"password=hunter2", "password=***"},
		{" host = db  password\t=\n hunter2  port=5432 ", " host = db  password\t=\n ***  port=5432 "},
		{"host=db PASSWORD=hunter2", "host=db PASSWORD=***"},
		{"sslpassword=hunter2 passfile=/hunter2", "sslpassword=*** passfile=***"},
		{"password='hunt er2' host=db", "password=*** host=db"},
		{`password='hunt\'er2 host=x' host=db`, "password=*** host=db"},
		{`password='hunter2\\' host=db`, "password=*** host=db"},
		{`password=hunt\ er2 host=db`, "password=*** host=db"},
		{`password=hunt'er2 host=db`, "password=*** host=db"},
		{"password='' host=db", "password=*** host=db"},
		{"password=hun=ter2 host=db", "password=*** host=db"},
		{"application_name='it is mine' password=p", "application_name='it is mine' password=***"},
		{"host=db password=", "host=db password=***"},
		{"user=a@b host=db", "user=a@b host=db"},

		// Pairs that can't be read.
		{"password='hunter2", "***"},
		{`password='hunter2\'`, "***"},
		{`password='hunter2\`, "***"},
		{`password=hunter2\`, "***"},
		{"password='hunt'er2 host=db", "***"},
		{"password='hunt''er2' host=db", "***"},
		{"password=hunt er2 host=db", "***"},
		{"password=hunt er2", "***"},
		{"=hunter2", "***"},
		{"hunter2", "***"},
		{"u:hunter2@tcp(db:3306)/m", "***"},
		{"u:hunter2@tcp(db:3306)/m?a=b", "***"},
		{"jdbc:postgresql://u:hunter2@db/m?a=b", "***"},
	} {
		require.Equal(t, c.want, logger.RedactDSN(c.dsn), "%q", c.dsn)
	}
}

// Whatever comes: what the driver reads as the password never shows, and a DSN
// that was redacted stays as it is.
func FuzzRedactDSN(f *testing.F) {
	for _, dsn := range []string{
		"postgres://u:hunter2@h1:5432,[::1]/m?sslmode=disable",
		"postgres://h/m?user=u&password=hunter2",
		"postgresql:///m?host=/run&p%61ssword=%20hunter2",
		`host=h password='a\'hunter2' user = u`,
		`password=a\ hunter2 host=h`,
	} {
		f.Add(dsn)
		require.NotContains(f, logger.RedactDSN(dsn), hidden)
	}
	f.Fuzz(func(t *testing.T, dsn string) {
		once := logger.RedactDSN(dsn)
		require.Equal(t, once, logger.RedactDSN(once))
		cfg, err := pgconn.ParseConfig(dsn)
		if err == nil && strings.Contains(cfg.Password, hidden) && strings.Count(dsn, hidden) == 1 {
			require.NotContains(t, once, hidden)
		}
	})
}
