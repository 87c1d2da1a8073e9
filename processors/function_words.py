"""Words that say nothing of a product, by language: by them a text's language is told, and no description is indexed under them.

Folded (`processors.words.fold`). What means something in the trade of another language is left out ("men" is Swedish for "but").
"""

from __future__ import annotations

FUNCTION_WORDS: dict[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "english": "the and of with for this that your you from are its it is in on at by to an as be or has have will can our "
        "we not but which these when into while also so their than them they was were more a",
        "german": "der die das und mit fur von den dem des ein eine einer eines einen einem ist im zu zum zur auf aus bei nicht "
        "auch sich wie durch nach oder sowie dieser diese dieses ihre ihr wird sind am",
        "french": "le la les des du une et est dans pour avec sur par qui que cette ces votre vos aux au ou en un ce sa ses son "
        "pas plus tres nos leur elle il sans d l",
        "spanish": "el los las una y con para por que del es un su sus al como este esta estos mas muy o se lo no en de la",
        "italian": "il lo gli i una e con per che di del della dei delle da in un nel nella sul sono questo questa questi come "
        "piu non si alla al ai dal le la",
        "dutch": "de het een en van met voor op te zijn is dat deze die aan uit bij ook als naar niet je jouw of door",
        "portuguese": "o os as uma e com para por que da dos das um no na nos nas ao se mais muito seu sua como nao ou de em",
        "swedish": "och det att en ett som pa ar av for med den till i inte om fran har de din var",
        "danish": "og det at en et som pa er af for med den til i ikke om fra har de din vores",
        "norwegian": "og det at en et som pa er av for med den til i ikke om fra har de din vare",
        "polish": "i w z na do ze nie sie jest to o dla od po za przez oraz jak ktory ktora ktore tym tej",
        "finnish": "ja on ei etta se joka tai kun myos ovat sen tama niin mutta jossa",
        "romanian": "si de la cu pentru din in pe un o este care sau mai nu al ale",
        "hungarian": "es az egy hogy nem is van meg ez el a de csak",
        "turkish": "ve bir bu ile icin da de olan olarak cok daha gibi",
        "russian": "и в на с для из по от не что это к как а до или у за",
    }.items()
}

PLAIN = frozenset().union(*FUNCTION_WORDS.values()) - frozenset({"more", "plus", "as", "var", "sale"})
"""All of them."""
