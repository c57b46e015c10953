//! Passwords that people choose: words with the usual endings, and what follows no pattern.
//!
//! For decoys that see only what a password was mixed into: they try these against it.

use std::sync::{Mutex, PoisonError};

use crate::Timestamp;

/// Words that are tried as they are, in capitals, capitalised, and with each of [`ENDINGS`].
const WORDS: &str = "admin administrator root toor password passwd pass passw0rd p@ssword p@ssw0rd \
    pa55word pa$$word welcome login user guest test testing demo default changeme change secret \
    master super superuser support service system sysadmin manager operator oracle mysql mariadb \
    mysqladmin sql database db dbadmin data backup web website webadmin wordpress joomla drupal \
    magento phpmyadmin php apache nginx tomcat server linux ubuntu debian centos redhat windows \
    docker vagrant ansible jenkins gitlab github git dev developer development prod production \
    staging stage local localhost office company business internet network router cisco huawei \
    mikrotik ubiquiti dell intel samsung apple google microsoft facebook amazon security secure \
    letmein monkey dragon football baseball soccer basketball hockey hunter hunter2 shadow sunshine \
    princess iloveyou ninja samurai batman superman spiderman starwars pokemon naruto matrix trustno \
    whatever freedom hello killer charlie michael jordan thomas daniel andrew joshua jessica jennifer \
    ashley michelle nicole robert william george richard david alex peter martin mark john james \
    summer winter spring autumn monday january october november december computer internet1 \
    flower banana orange cookie chocolate cheese pepper ginger coffee purple silver golden diamond \
    tiger lion eagle phoenix falcon wolf mustang ferrari porsche mercedes toyota yamaha harley \
    london paris berlin madrid moscow tokyo texas dallas chicago boston canada china india russia \
    arsenal chelsea liverpool barcelona juventus love lovely angel family happy lucky magic music \
    money qwerty qwertz azerty asdf asdfgh zxcvbn zxcvbnm qwert qaz abc abcd abcdef qazwsx";

/// What is put after a word.
const ENDINGS: &str = "! 1 12 123 1234 12345 123456 123! @123 01 2024 2025 2026";

/// What is put after the name that was logged in with; only a few, so there may be more.
const NAME_ENDINGS: &str = "! 1 12 123 1234 12345 123456 123! 1! 01 2 7 10 11 22 69 77 88 99 00 000 007 \
    111 321 666 777 @ @1 @12 @123 @1234 # #1 #123 $ . * _ !@# !@#$ 2015 2016 2017 2018 2019 2020 2021 2022 2023 2024 \
    2025 2026 @2020 @2021 @2022 @2023 @2024 @2025 @2026";

/// What follows no pattern.
const OTHERS: &str = "0 1 12 123 1234 12345 123456 1234567 12345678 123456789 1234567890 0123456789 \
    012345 01234567 0987654321 9876543210 987654321 87654321 7654321 654321 54321 4321 321 \
    000000 00000000 0000 00000 111111 11111111 1111 11111 1111111 222222 22222222 2222 333333 3333 \
    444444 4444 555555 55555555 5555 55555 666666 66666666 6666 777777 7777777 77777777 7777 888888 \
    88888888 8888 999999 99999999 9999 999999999 112233 11223344 1122 1212 121212 12121212 123123 \
    123123123 123321 1234321 123454321 12341234 12344321 1234554321 123456123456 102030 101010 \
    10203040 131313 141414 159753 159357 147258 147258369 147852 147852369 258456 369258147 741852 \
    741852963 789456 789456123 789654 753951 951753 963852 963852741 456789 456123 321321 232323 \
    252525 200000 202020 20202020 212121 1313 1010 2020 2000 2001 6969 696969 69696969 1004 \
    1q2w3e 1q2w3e4r 1q2w3e4r5t 1q2w3e4r5t6y 1q2w3e4r! 1qaz2wsx 1qaz2wsx3edc 1qaz@WSX 1qaz!QAZ \
    !QAZ2wsx !qaz@wsx !QAZ@WSX !QAZ1qaz 2wsx3edc 3edc4rfv q1w2e3 q1w2e3r4 q1w2e3r4t5 Q1w2e3r4 \
    q1w2e3r4t5y6 1a2b3c 1a2b3c4d a1b2c3 a1b2c3d4 A1b2c3d4 aa123456 Aa123456 Aa123456! Aa123456. \
    Aa123123 Aa112233 Aa12345 Aa12345678 aA123456 a123456 a12345 a1234567 a12345678 a123456789 \
    abc123 abcd1234 Abc123 Abcd1234 Abc@123 Abc123! Abc1234 Abc12345 abcdefg abcdefgh abc123456 \
    aaa aaaa aaaaa aaaaaa aaaaaaaa aaa111 asd asd123 asdasd asdasdasd asdf1234 asdfasdf asdfg \
    asdfghjk asdfghjkl asdqwe123 zxc zxc123 zxcvb zxcv1234 zxcvbnm123 zaq1 zaq12wsx zaq1zaq1 \
    zaq1xsw2 zaq1@WSX zaq!@#$ xsw2zaq1 qwe qwe123 qwe123qwe qweasd qweasd123 qweasdzxc qweasdzxc123 \
    qweqwe qweqwe123 qwer1234 qwerasdf qwer qwertyu qwertyui qwertyuiop qwerty123456 qwerty123! \
    Qwerty123 Qwerty1! qwaszx qazxsw qazwsxedc qazwsx123 poiuyt poiuytrewq lkjhgf mnbvcx mnbvcxz \
    !@# !@#$ !@#$% !@#$%^ !@#$%^& !@#$%^&* !@#123 !@#$1234 1234qwer 1234qwer! 123qwe 123qwe!@# \
    123qweasd 123qweasdzxc 123asd 123abc 1234abcd 12345qwert 123456a 123456abc 123456q 123456qwerty \
    12345a 12345678a 123456789a 123admin 123root 123mysql 12qwaszx 5201314 520520 7758521 woaini \
    woaini1314 1314520 dearbook P@ssw0rd P@ssw0rd1 P@ssw0rd123 P@ssw0rd! P@$$w0rd P@55w0rd \
    Pa$$w0rd Pa$$word1 Passw0rd! p@55w0rd Password1! Password123! Welcome1! Welcome@123 adminadmin \
    admin@admin rootroot root@root rootpass rootpassword rootpwd rootme roottoor toortoor mysqlroot \
    rootmysql mysqlpass mysqlpassword mysqlpwd sqladmin dbpass dbpassword dbuser mydb mydatabase \
    my-secret-pw mysecretpassword secretpassword supersecret somewordpress example exampleuser \
    homestead sail forge bitnami xampp wamp lampp mamp usbw ubnt raspberry alpine calvin zabbix \
    nagios cacti asterisk asteriskuser amp109 amportal eLaStIx.asteriskuser.2oo7 passw0rd \
    vicidial jenkins123 postgres redis mongodb hadoop hive hue ambari cloudera vmware vmware1 \
    Admin@123456 Root@123456 root123!@# Root123!@# admin888 admin666 admin123456 administrator123 \
    manager1 monitor replication repl slave replica galera maxscale proxysql nextcloud owncloud \
    moodle roundcube wiki mediawiki blog shop store cms crm erp odoo sugar joomla1 opencart \
    prestashop teste teste123 senha senha123 mudar123 contrasena clave azerty123 motdepasse soleil \
    passwort passwort1 hallo hallo123 geheim schatz haslo haslo123 parola parola123 kerberos \
    nopassword nopass none null empty blank temp temp123 temporary tmp public private anonymous \
    access access14 letmein1 letmein123 trustno1 iloveyou1 iloveyou2 monkey1 dragon1 football1 \
    sunshine1 princess1 charlie1 starwars1 696969 batman1 superman1 thx1138 ncc1701 ncc1701d 8675309 \
    bond007 rush2112 blink182 nirvana metallica slipknot pussy fuckyou fuckyou1 fuckme fuck asshole \
    bitch sexy biteme cowboy maverick cocacola snoopy mickey pepsi yankees steelers cowboys eagles \
    x y z a b c q w e r t p s d 1a a1 aa ab xx xxx xxxx xxxxxx zzz zzzz zzzzzz qq qqq qqqq qqqqqq \
    foobar foo bar baz hacker hack h4ck3r l33t 1337 31337 god gandalf frodo bilbo merlin sauron";

/// Searches through the list that may still be made: trying it all costs milliseconds, which a flood
/// of logins mustn't multiply.
#[derive(Debug, Default)]
pub struct Searches(Mutex<Saved>);

/// Searches saved up.
#[derive(Debug, Default)]
struct Saved {
    /// The second that was last added.
    at: i64,
    searches: u32,
}

impl Searches {
    /// Whether a search may be made at `now`; takes it from those saved. Each second adds
    /// `a_second`, up to `most`.
    pub fn may_search(&self, a_second: u32, most: u32, now: Timestamp) -> bool {
        let mut saved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back adds nothing.
        let passed = u32::try_from(now.secs().saturating_sub(saved.at)).unwrap_or_default();
        let more = passed.saturating_mul(a_second);
        saved.searches = saved.searches.saturating_add(more).min(most);
        saved.at = now.secs();
        let left = saved.searches.checked_sub(1);
        saved.searches = left.unwrap_or_default();
        left.is_some()
    }
}

/// Every password of the list, some more than once: [`frequent`] first.
pub fn common() -> impl Iterator<Item = String> {
    let ended = words().flat_map(|word| {
        ENDINGS
            .split_whitespace()
            .map(move |ending| format!("{word}{ending}"))
    });
    frequent().chain(ended)
}

/// The part of the list that's tried most: what follows no pattern, and words without an ending.
pub fn frequent() -> impl Iterator<Item = String> {
    let loud = WORDS.split_whitespace().map(str::to_ascii_uppercase);
    let others = OTHERS.split_whitespace().map(str::to_owned);
    others.chain(words()).chain(loud)
}

fn words() -> impl Iterator<Item = String> {
    WORDS
        .split_whitespace()
        .flat_map(|word| [word.to_owned(), capitalised(word)])
}

/// `word` with its first letter in upper case.
pub fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters
        .next()
        .map(|first| first.to_ascii_uppercase())
        .into_iter()
        .chain(letters)
        .collect()
}

/// What people make of the name they log in with.
pub fn from_name(name: &str) -> impl Iterator<Item = String> {
    let bare = [name.to_owned(), capitalised(name)];
    let ended = bare.clone().into_iter().flat_map(|word| {
        NAME_ENDINGS
            .split_whitespace()
            .map(move |ending| format!("{word}{ending}"))
    });
    let doubled = format!("{name}{name}");
    let turned = name.chars().rev().collect();
    bare.into_iter().chain(ended).chain([doubled, turned])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_are_saved_up_and_spent() {
        let searches = Searches::default();
        let allowed = |secs| {
            let may = |_: &u32| searches.may_search(3, 5, Timestamp::from_secs(secs));
            (0..9).filter(may).count()
        };
        assert_eq!([allowed(100), allowed(100), allowed(101)], [5, 0, 3]);
        // A clock that was set back.
        assert_eq!([allowed(50), allowed(51)], [0, 3]);
    }
}
