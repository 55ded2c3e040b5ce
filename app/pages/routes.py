"""The address of every page."""

from starlette.routing import Route

from app.pages import (
    admin_notifications,
    book,
    calendar,
    dev_mail,
    embed,
    home,
    instructor,
    lessons,
    move,
    sign_in,
    teach,
    teach_profile,
    teach_stats,
)

routes = [
    Route("/", home.page, methods=["GET"]),
    *embed.routes,
    Route("/book/{id}", book.page, methods=["GET"]),
    Route("/instructors/{id}", instructor.page, methods=["GET"]),
    Route("/lessons", lessons.page, methods=["GET"]),
    Route("/lessons/{id}/again", lessons.again, methods=["GET"]),
    Route("/lessons/{id}/move", move.page, methods=["GET"]),
    Route("/teach", teach.page, methods=["GET"]),
    Route("/teach/calendar", calendar.page, methods=["GET"]),
    Route("/teach/profile", teach_profile.page, methods=["GET"]),
    Route("/teach/stats", teach_stats.page, methods=["GET"]),
    Route("/login", sign_in.login, methods=["GET"]),
    Route("/register", sign_in.register, methods=["GET"]),
    Route("/admin/notifications", admin_notifications.page, methods=["GET"]),
    Route("/dev/mail", dev_mail.inbox, methods=["GET"]),
    Route("/dev/mail/{id}", dev_mail.mail, methods=["GET"]),
    Route("/dev/mail/{id}/html", dev_mail.html, methods=["GET"]),
    Route("/dev/mail/{id}/lesson.ics", dev_mail.calendar, methods=["GET"]),
]
