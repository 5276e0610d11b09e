"""Facts that the word prompts ask for; every entry has one common spelling and one right answer."""

CAPITALS: tuple[tuple[str, str], ...] = (
    ("France", "Paris"), ("Germany", "Berlin"), ("Italy", "Rome"), ("Spain", "Madrid"),
    ("Portugal", "Lisbon"), ("Ireland", "Dublin"), ("Japan", "Tokyo"), ("China", "Beijing"),
    ("India", "New Delhi"), ("Russia", "Moscow"), ("Egypt", "Cairo"), ("Greece", "Athens"),
    ("Austria", "Vienna"), ("Poland", "Warsaw"), ("Sweden", "Stockholm"), ("Norway", "Oslo"),
    ("Denmark", "Copenhagen"), ("Finland", "Helsinki"), ("Belgium", "Brussels"), ("Canada", "Ottawa"),
    ("Cuba", "Havana"), ("Argentina", "Buenos Aires"), ("Peru", "Lima"), ("South Korea", "Seoul"),
    ("Thailand", "Bangkok"), ("Vietnam", "Hanoi"), ("Iran", "Tehran"), ("Iraq", "Baghdad"),
    ("Hungary", "Budapest"), ("Kenya", "Nairobi"), ("Australia", "Canberra"), ("Kyrgyzstan", "Bishkek"),
    ("Tajikistan", "Dushanbe"), ("Turkmenistan", "Ashgabat"), ("Bhutan", "Thimphu"),
    ("Burkina Faso", "Ouagadougou"), ("Suriname", "Paramaribo"), ("Eritrea", "Asmara"),
    ("Malawi", "Lilongwe"), ("Zambia", "Lusaka"), ("Mauritania", "Nouakchott"), ("Gabon", "Libreville"),
    ("Lesotho", "Maseru"), ("Botswana", "Gaborone"), ("Namibia", "Windhoek"), ("Mozambique", "Maputo"),
    ("Madagascar", "Antananarivo"), ("Rwanda", "Kigali"), ("Uganda", "Kampala"), ("Niger", "Niamey"),
    ("Mali", "Bamako"), ("Senegal", "Dakar"), ("Sierra Leone", "Freetown"), ("Liberia", "Monrovia"),
    ("Guinea", "Conakry"), ("Ghana", "Accra"), ("Angola", "Luanda"), ("Zimbabwe", "Harare"),
    ("Somalia", "Mogadishu"), ("Comoros", "Moroni"), ("Mauritius", "Port Louis"), ("Laos", "Vientiane"),
    ("Brunei", "Bandar Seri Begawan"), ("Papua New Guinea", "Port Moresby"), ("Fiji", "Suva"),
    ("Vanuatu", "Port Vila"), ("Samoa", "Apia"), ("Solomon Islands", "Honiara"), ("Nepal", "Kathmandu"),
    ("Bangladesh", "Dhaka"), ("Azerbaijan", "Baku"), ("Armenia", "Yerevan"), ("Uzbekistan", "Tashkent"),
    ("Belize", "Belmopan"), ("Honduras", "Tegucigalpa"), ("Nicaragua", "Managua"), ("Guyana", "Georgetown"),
    ("Jamaica", "Kingston"), ("Barbados", "Bridgetown"), ("Dominica", "Roseau"),
    ("Haiti", "Port-au-Prince"), ("Liechtenstein", "Vaduz"), ("Malta", "Valletta"),
    ("Slovenia", "Ljubljana"), ("Slovakia", "Bratislava"), ("North Macedonia", "Skopje"),
    ("Albania", "Tirana"), ("Estonia", "Tallinn"), ("Latvia", "Riga"), ("Lithuania", "Vilnius"),
    ("Oman", "Muscat"), ("Qatar", "Doha"), ("Bahrain", "Manama"), ("Jordan", "Amman"), ("Libya", "Tripoli"),
    ("Morocco", "Rabat"), ("Sudan", "Khartoum"), ("Ethiopia", "Addis Ababa"), ("Belarus", "Minsk"),
    ("Bulgaria", "Sofia"), ("Romania", "Bucharest"), ("Croatia", "Zagreb"), ("Serbia", "Belgrade"),
    ("Cyprus", "Nicosia"), ("Lebanon", "Beirut"), ("Syria", "Damascus"), ("Afghanistan", "Kabul"),
    ("Pakistan", "Islamabad"), ("Uruguay", "Montevideo"), ("Ecuador", "Quito"), ("Venezuela", "Caracas"),
    ("El Salvador", "San Salvador"), ("Saint Lucia", "Castries"), ("Trinidad and Tobago", "Port of Spain"),
    ("Saudi Arabia", "Riyadh"),
)  # fmt: skip
"""(country, capital), the well-known ones first."""

WELL_KNOWN_CAPITALS = 31
"""How many of `CAPITALS` most models know."""

SPANISH: tuple[tuple[str, str], ...] = (
    ("perro", "dog"), ("gato", "cat"), ("casa", "house"), ("silla", "chair"), ("puerta", "door"),
    ("ventana", "window"), ("libro", "book"), ("agua", "water"), ("leche", "milk"), ("pan", "bread"),
    ("queso", "cheese"), ("huevo", "egg"), ("manzana", "apple"), ("uva", "grape"), ("fresa", "strawberry"),
    ("cebolla", "onion"), ("ajo", "garlic"), ("zanahoria", "carrot"), ("carne", "meat"),
    ("pollo", "chicken"), ("caballo", "horse"), ("vaca", "cow"), ("oveja", "sheep"), ("pato", "duck"),
    ("conejo", "rabbit"), ("mariposa", "butterfly"), ("abeja", "bee"), ("hormiga", "ant"),
    ("tortuga", "turtle"), ("serpiente", "snake"), ("lobo", "wolf"), ("oso", "bear"), ("zorro", "fox"),
    ("ballena", "whale"), ("elefante", "elephant"), ("flor", "flower"), ("hoja", "leaf"),
    ("bosque", "forest"), ("playa", "beach"), ("isla", "island"), ("lago", "lake"), ("nieve", "snow"),
    ("lluvia", "rain"), ("viento", "wind"), ("nube", "cloud"), ("estrella", "star"), ("luna", "moon"),
    ("fuego", "fire"), ("piedra", "stone"), ("hierro", "iron"), ("oro", "gold"), ("madera", "wood"),
    ("espejo", "mirror"), ("cuchillo", "knife"), ("tenedor", "fork"), ("cuchara", "spoon"),
    ("botella", "bottle"), ("cama", "bed"), ("almohada", "pillow"), ("sombrero", "hat"), ("zapato", "shoe"),
    ("camisa", "shirt"), ("falda", "skirt"), ("guante", "glove"), ("llave", "key"), ("puente", "bridge"),
    ("calle", "street"), ("iglesia", "church"), ("escuela", "school"), ("biblioteca", "library"),
    ("ciudad", "city"), ("rey", "king"), ("reina", "queen"), ("hermano", "brother"), ("hermana", "sister"),
    ("abuelo", "grandfather"), ("abuela", "grandmother"), ("cabeza", "head"), ("ojo", "eye"),
    ("nariz", "nose"), ("boca", "mouth"), ("mano", "hand"), ("dedo", "finger"), ("pierna", "leg"),
    ("rodilla", "knee"), ("hombro", "shoulder"), ("diente", "tooth"), ("sangre", "blood"),
    ("hueso", "bone"), ("lunes", "Monday"), ("martes", "Tuesday"), ("jueves", "Thursday"),
    ("viernes", "Friday"), ("enero", "January"), ("agosto", "August"), ("octubre", "October"),
    ("rojo", "red"), ("verde", "green"), ("azul", "blue"), ("amarillo", "yellow"), ("negro", "black"),
    ("blanco", "white"), ("siete", "seven"), ("nueve", "nine"), ("quince", "fifteen"), ("veinte", "twenty"),
    ("treinta", "thirty"), ("invierno", "winter"), ("verano", "summer"), ("ardilla", "squirrel"),
    ("sobrino", "nephew"), ("tijeras", "scissors"), ("cangrejo", "crab"), ("pulpo", "octopus"),
    ("erizo", "hedgehog"), ("tornillo", "screw"), ("martillo", "hammer"), ("ladrillo", "brick"),
    ("campana", "bell"), ("aguja", "needle"), ("jaula", "cage"), ("cereza", "cherry"), ("ciruela", "plum"),
    ("calabaza", "pumpkin"), ("lechuga", "lettuce"), ("pepino", "cucumber"), ("trigo", "wheat"),
)  # fmt: skip
"""(Spanish, English)."""

OPPOSITES: tuple[tuple[str, str], ...] = (
    ("hot", "cold"), ("fast", "slow"), ("happy", "sad"), ("rich", "poor"), ("early", "late"),
    ("empty", "full"), ("wet", "dry"), ("heavy", "light"), ("near", "far"), ("loud", "quiet"),
    ("deep", "shallow"), ("wide", "narrow"), ("ancient", "modern"), ("sharp", "blunt"),
    ("brave", "cowardly"), ("guilty", "innocent"), ("rough", "smooth"), ("temporary", "permanent"),
    ("scarce", "abundant"), ("transparent", "opaque"), ("generous", "stingy"), ("humble", "arrogant"),
    ("flexible", "rigid"), ("artificial", "natural"), ("optional", "mandatory"), ("vertical", "horizontal"),
    ("public", "private"), ("guest", "host"), ("victory", "defeat"), ("arrival", "departure"),
    ("ascend", "descend"), ("accept", "reject"), ("expand", "contract"), ("attack", "defend"),
    ("praise", "criticize"), ("borrow", "lend"), ("buy", "sell"), ("love", "hate"), ("remember", "forget"),
    ("import", "export"), ("maximum", "minimum"), ("verbose", "concise"), ("ally", "enemy"),
    ("novice", "expert"), ("optimist", "pessimist"), ("odd", "even"),
)  # fmt: skip
"""Pairs of opposites, each of a meaning of its own, so that a word of another pair is never right as well."""

SHORT_WORDS: tuple[str, ...] = (
    "apple", "bread", "chair", "dance", "eagle", "floor", "grass", "horse", "island", "jelly", "kettle",
    "lemon", "money", "night", "ocean", "paper", "queen", "river", "sugar", "table", "uncle", "voice",
    "water", "zebra", "pencil", "summer", "butter", "coffee", "letter", "rabbit", "cheese", "pepper",
    "tunnel", "garden", "window", "school", "street", "bottle", "needle", "kitten", "little", "yellow",
    "better", "hammer", "pillow", "coffin", "puzzle", "ribbon", "sleeve",
)  # fmt: skip
"""Words that small models can spell."""

LONG_WORDS: tuple[str, ...] = (
    "strawberry", "mississippi", "banana", "committee", "bookkeeper", "elephant", "chocolate", "television",
    "umbrella", "dictionary", "mathematics", "butterfly", "restaurant", "engineering", "hippopotamus",
    "constitution", "possession", "parallel", "tomorrow", "accommodation", "refrigerator", "occurrence",
    "assessment", "neighborhood", "volleyball", "international", "pineapple", "raspberry", "successful",
    "temperature", "university", "vegetables", "watermelon", "xylophone", "yesterday", "anniversary",
    "calculator", "democracy", "electricity", "firefighter", "generation", "helicopter", "imagination",
    "journalist", "kindergarten", "laboratory", "microscope", "necessary", "opportunity", "philosophy",
)  # fmt: skip
"""Words whose letters are counted."""

THINGS: tuple[str, ...] = (
    "film", "soup", "hotel room", "concert", "book", "new phone", "service", "flight", "pizza", "lecture",
    "museum", "weather", "coffee", "game", "haircut", "repair", "bus ride", "festival", "garden",
    "interview",
)  # fmt: skip
"""What the sentiment sentences speak of."""

PRAISE: tuple[str, ...] = (
    "wonderful", "delightful", "excellent", "superb", "fantastic", "brilliant", "outstanding", "great",
    "lovely",
)  # fmt: skip
"""Adjectives of a positive sentence."""

BLAME: tuple[str, ...] = (
    "terrible", "awful", "disappointing", "dreadful", "horrible", "miserable", "mediocre", "lousy",
    "unbearable",
)  # fmt: skip
"""Adjectives of a negative sentence."""

NAMES: tuple[str, ...] = ("Anna", "Ben", "Carla", "David", "Emma", "Felix", "Grace", "Hugo", "Ines", "Jonas")
"""People of the word problems."""
