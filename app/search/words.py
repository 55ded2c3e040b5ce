"""The words that the grammar of searches reads, besides the catalog's."""


def _words(text: str) -> list[str]:
    return text.split()


NUMBERS = {
    word: value
    for value, word in enumerate(
        _words(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
            "fifteen sixteen seventeen eighteen nineteen"
        )
    )
} | {
    word: 10 * value
    for value, word in enumerate(
        _words("twenty thirty forty fifty sixty seventy eighty ninety hundred"), 2
    )
}

WEEKDAYS = _words("monday tuesday wednesday thursday friday saturday sunday")
SHORT_WEEKDAYS = {
    "mon": 0, "tue": 1, "tues": 1, "wed": 2, "weds": 2, "thu": 3, "thur": 3, "thurs": 3,
    "fri": 4, "sat": 5, "sun": 6,
}  # fmt: skip
MONTHS = _words(
    "january february march april may june july august september october november december"
)
SHORT_MONTHS = {month[:3]: number for number, month in enumerate(MONTHS, 1)} | {"sept": 9}

PARTS = {"morning": (6, 12), "afternoon": (12, 17), "evening": (17, 22)}  # of the day

LEVELS = {
    "beginner": "beginner", "beginning": "beginner", "novice": "beginner", "newbie": "beginner",
    "starter": "beginner", "newcomer": "beginner", "intermediate": "intermediate",
    "advanced": "advanced", "expert": "advanced",
}  # fmt: skip
AUDIENCES = {
    "kid": "kids", "child": "kids", "children": "kids", "son": "kids", "daughter": "kids",
    "toddler": "kids", "preschooler": "kids", "kiddo": "kids", "youngster": "kids", "boy": "kids",
    "girl": "kids", "grandson": "kids", "granddaughter": "kids", "kindergartner": "kids",
    "teen": "teens", "teenager": "teens", "tween": "teens", "teenage": "teens",
    "adult": "adults", "grownup": "adults", "grown": "adults",
    "senior": "seniors", "elderly": "seniors", "retiree": "seniors", "grandma": "seniors",
    "grandpa": "seniors", "grandmother": "seniors", "grandfather": "seniors",
}  # fmt: skip

# Places outside the city. The far cities count only after "in" and the like, because their names
# have other meanings.
OUTSIDE = {
    "new jersey": "New Jersey", "nj": "New Jersey", "jersey city": "Jersey City",
    "jersey": "New Jersey", "hoboken": "Hoboken", "newark": "Newark", "fort lee": "Fort Lee",
    "weehawken": "Weehawken", "union city": "Union City", "bayonne": "Bayonne",
    "long island": "Long Island", "nassau county": "Nassau County",
    "westchester": "Westchester", "yonkers": "Yonkers", "white plains": "White Plains",
    "new rochelle": "New Rochelle", "scarsdale": "Scarsdale", "connecticut": "Connecticut",
    "stamford": "Stamford", "philadelphia": "Philadelphia", "upstate": "upstate New York",
}  # fmt: skip
FAR_CITIES = {
    name: name.title()
    for name in (
        "boston", "chicago", "los angeles", "san francisco", "miami", "california", "texas",
        "florida", "pennsylvania", "london", "paris", "toronto",
    )
}  # fmt: skip
# The boroughs by the beginnings of their ZIP codes.
ZIP_CODES = {
    "100": "manhattan", "101": "manhattan", "102": "manhattan", "103": "staten island",
    "104": "bronx", "110": "queens", "111": "queens", "112": "brooklyn", "113": "queens",
    "114": "queens", "116": "queens",
}  # fmt: skip

# Words that narrow no search.
FILLER = frozenset(
    _words(
        """
        a about all also am an and any anybody anyone anything anywhere appointment appointments are
        area around as at availability available avail be best book booking by can class classes
        close coach coaches coaching could course courses do does down each expert experts find
        finding for free from get getting give gives good great guide had has have hello help hey hi
        hire home how i id im in instruction instructor instructors intro into is it its just know
        learn learner learning lesson lessons like local location looking love low me mentor mentors
        my near nearby need needs new next nice now of offer offering offers ok okay on one online
        open opening or our out people per person please pls practice private pro professional
        professionals really s schedule school search seeking session sessions show skill skills
        slot slots some somebody someone something start starting student students studio study
        taking take teach teacher teachers teaches teaching thank thanks that the their them there
        this time to today top trainer trainers training tuition tutor tutored tutoring tutors up us
        use want wanted wanting wants was we what whats when where which who with within would year
        years you your
        """
    )
)
# Words about prices, times, levels and audiences. They narrow no search where no rule reads them.
GRAMMAR = frozenset(
    _words(
        """
        tomorrow tonight weekend weekends weekday weekdays morning mornings afternoon afternoons
        evening evenings night nights noon midnight midday lunch lunchtime before after between
        under over below above less than more most least until till max maximum min minimum dollar
        dollars bucks usd hour hours hourly minute minutes half budget cheap cheaper cheapest
        affordable inexpensive reasonable reasonably priced price week weeks day days old yrs yr yo
        age aged ages level levels scratch brand early late later grade grader graders rate rates
        cost costs work am pm h hr hrs absolute complete total
        """
    )
)
# Words of the grammar to which a typing mistake may be corrected.
COMMON_WORDS = frozenset(
    {*FILLER, *GRAMMAR, *NUMBERS, *WEEKDAYS, *SHORT_WEEKDAYS, *MONTHS, *SHORT_MONTHS}
    | {*LEVELS, *AUDIENCES}
)
# Words of the same kind that are too rare to correct a typing mistake to.
RARE_GRAMMAR = frozenset(
    _words(
        """
        month months every daily weekly monthly few couple regular regularly once twice very not no
        but except excluding avoid coming following during through thru onwards onward either
        mom mother dad father wife husband friend friends boyfriend girlfriend myself family
        fast quick quickly workshop workshops program conversational may oclock
        """
    )
)
# All words of the grammar that are too rare to correct a typing mistake to.
RARE_WORDS = frozenset(
    {*RARE_GRAMMAR, "remote", "remotely", "virtual", "virtually", "zoom", "skype", "facetime"}
    | {word for place in [*OUTSIDE, *FAR_CITIES] for word in _words(place)}
)
